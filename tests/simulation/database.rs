//! The database of a simulation: the model store behind connections that fail, tarry and die by chance.
//!
//! A batch on its way:
//!
//! | phase | what chance does there |
//! |---|---|
//! | before | lets others go first, tarries, fails before anything was read |
//! | judged | under the clock of its replica |
//! | commit | refuses, or loses the answer, with or without the commit |
//! | after | tarries, or kills the replica before it hears |
//!
//! A replica that was killed is cut off: from then on no call of its writer ever returns, so that nothing it still has
//! in memory can reach the tables or a caller.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use scrip::ledger::Micros;
use scrip::store::{Decide, Footprint, Plan, Reader, Run, Snapshot, Store, StoreError, Transacted, Writer};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bugs::{Bug, Early};
use crate::chance::{Chance, SimClock};
use crate::log::Log;
use crate::support::model::{End, Fault, Model, Trouble};
use crate::watch::{Committing, ReadBefore, Watch};

/// How likely each trouble is for a batch, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) conflict: u32,
    pub(crate) unreached: u32,
    pub(crate) stopped: u32,
    pub(crate) unknown: u32,
    pub(crate) killed: u32,
    /// How long a batch may take on its way, in milliseconds.
    pub(crate) tarries: i64,
}

/// The tables, and all that happens to batches on their way to them.
pub(crate) struct Database {
    pub(crate) model: Model,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) bug: Option<Bug>,
    log: Arc<Log>,
    chance: Mutex<Chance>,
    weather: Mutex<Weather>,
    watch: Mutex<Watch>,
}

/// What one batch meets.
struct Turn {
    end: End,
    yields: usize,
    before: Duration,
    after: Duration,
    killed: bool,
}

impl Database {
    pub(crate) fn new(clock: Arc<SimClock>, chance: Chance, bug: Option<Bug>, log: &Arc<Log>) -> Self {
        let model = Model::new(clock.clone());
        let (chance, weather, watch) = (Mutex::new(chance), Mutex::default(), Mutex::default());
        Self { model, clock, bug, log: Arc::clone(log), chance, weather, watch }
    }

    pub(crate) fn turn_to(&self, weather: Weather) {
        *self.weather.lock().expect("whole") = weather;
    }

    pub(crate) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().expect("whole")
    }

    pub(crate) fn chance(&self) -> MutexGuard<'_, Chance> {
        self.chance.lock().expect("whole")
    }

    fn turn(&self) -> Turn {
        let weather = *self.weather.lock().expect("whole");
        let chance = &mut *self.chance();
        let troubles = [Trouble::Unavailable, Trouble::Full, Trouble::ReadOnly, Trouble::Damaged];
        let end = if chance.is(weather.unknown) {
            chance.of(&[End::UnknownCommitted, End::UnknownLost])
        } else if chance.is(weather.conflict) {
            End::NotCommitted(chance.of(&[Trouble::Conflict, Trouble::Lost]))
        } else if chance.is(weather.unreached) {
            End::Unreached(chance.of(&[Trouble::Conflict, Trouble::Unavailable]))
        } else if chance.is(weather.stopped) {
            End::NotCommitted(chance.of(&troubles))
        } else {
            End::AsUsual
        };
        let mut tarry = || if chance.is(60) { chance.millis(0, weather.tarries) } else { Duration::ZERO };
        let (before, after) = (tarry(), tarry());
        Turn { end, yields: chance.below(4), before, after, killed: chance.is(weather.killed) }
    }
}

/// One replica's way to the database, as long as it lives.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) database: Arc<Database>,
    pub(crate) replica: usize,
    pub(crate) life: CancellationToken,
}

impl Store for Connection {
    fn writer(&self) -> Box<dyn Writer> {
        Box::new(SimWriter { inner: self.database.model.writer(), connection: self.clone() })
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.database.model.reader()
    }

    fn describe(&self) -> String {
        format!("simulation, replica {}", self.replica)
    }
}

struct SimWriter {
    inner: Box<dyn Writer>,
    connection: Connection,
}

impl Writer for SimWriter {
    fn transact<'a>(
        &'a mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &'a Footprint,
        decide: Decide<'a>,
    ) -> BoxFuture<'a, Transacted> {
        let connection = self.connection.clone();
        let batch = Batch { inner: &mut *self.inner, connection: &self.connection, batch_id, run, footprint };
        Box::pin(Living { connection, running: Some(Box::pin(batch.transact(decide))) })
    }

    fn prune_commits(&mut self, before: Micros, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.prune_commits(before, limit)
    }
}

struct Batch<'a> {
    inner: &'a mut dyn Writer,
    connection: &'a Connection,
    batch_id: Uuid,
    run: Run,
    footprint: &'a Footprint,
}

impl Batch<'_> {
    async fn transact(self, decide: Decide<'_>) -> Transacted {
        let database = &*self.connection.database;
        let turn = database.turn();
        for _ in 0..turn.yields {
            tokio::task::yield_now().await;
        }
        let early = match database.bug {
            Some(bug) => Early::read(bug, database, self.inner, self.footprint).await,
            None => None,
        };
        let end = Bug::end(database, turn.end);
        let mut committing = None;
        let mut judge = |snapshot: Snapshot| -> Plan {
            let snapshot = Early::instead(early.as_ref(), snapshot);
            let read = ReadBefore::of(&snapshot);
            let plan = Bug::spoil(database, decide(snapshot));
            committing = Some(Committing::of(&database.model, &plan, read));
            plan
        };
        // Taken up by this batch at once: nothing comes between the two lines.
        database.model.faults().script([Fault::ending(end).after(turn.before)]);
        let ended = self.inner.transact(self.batch_id, self.run, self.footprint, &mut judge).await;
        let is_committed = match &ended {
            Transacted::Committed => true,
            Transacted::Unknown(_) => end == End::UnknownCommitted,
            Transacted::AlreadyCommitted | Transacted::NotCommitted(_) => false,
        };
        let replica = self.connection.replica;
        database.log.line(|| {
            let written =
                committing.as_ref().filter(|_| is_committed).map(Committing::words).unwrap_or_default();
            format!("replica {replica} runs a batch, {:?}, {end:?}: {ended:?} {written}", self.run)
        });
        if let Some(committing) = committing.filter(|_| is_committed) {
            database.watch().committed(committing, &database.model);
        }
        if turn.killed && is_committed {
            database.watch().killed += 1;
            self.connection.life.cancel();
        }
        if !turn.after.is_zero() {
            tokio::time::sleep(turn.after).await;
        }
        Bug::told(database, (turn.end, end), ended)
    }
}

/// Runs while its replica lives, under its replica's clock.
struct Living<'a> {
    connection: Connection,
    running: Option<BoxFuture<'a, Transacted>>,
}

impl Future for Living<'_> {
    type Output = Transacted;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Transacted> {
        let connection = self.connection.clone();
        if connection.life.is_cancelled() {
            // Its connection is gone, and its locks with it. Nobody will wake this again.
            self.running = None;
        }
        let Some(running) = &mut self.running else { return Poll::Pending };
        connection.database.clock.read_as(Some(connection.replica));
        let polled = running.as_mut().poll(context);
        connection.database.clock.read_as(None);
        if connection.life.is_cancelled() {
            self.running = None;
            return Poll::Pending;
        }
        polled
    }
}
