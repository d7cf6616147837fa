//! What a batch meets on its way through the model store, scripted one batch after the other.
//!
//! ```text
//! model.faults().script([Fault::unknown_committed(), Fault::as_usual().held_by(&gate)]);
//! model.faults().always(Fault::not_committed(Trouble::Full));   // once the script is over
//! model.faults().fail_reads(Some(Trouble::Unavailable));
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use scrip::store::{Failure, Footprint, Plan, Run, StoreError};
use tokio::sync::watch;
use uuid::Uuid;

/// What is wrong with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another transaction was in the way: a failure to decide again.
    Conflict,
    /// It cannot be reached; as a failure, before COMMIT was sent, so that deciding again may help.
    Lost,
    /// It cannot be reached.
    Unavailable,
    /// It has no room.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// It is damaged.
    Damaged,
    /// It answered what it never should.
    Bug,
}

impl Trouble {
    /// The store's error.
    pub fn error(self) -> StoreError {
        let (what, source) = ("a scripted fault", format!("{self:?}").into());
        match self {
            Trouble::Conflict => StoreError::Conflict { what, source },
            Trouble::Lost | Trouble::Unavailable => StoreError::Unavailable { what, source },
            Trouble::Full => StoreError::Full { what, source },
            Trouble::ReadOnly => StoreError::ReadOnly { what, source },
            Trouble::Damaged => StoreError::Damaged { what, source },
            Trouble::Bug => StoreError::Bug { what, source },
        }
    }

    /// Why a batch was not committed.
    pub fn failure(self) -> Failure {
        match self {
            Trouble::Conflict | Trouble::Lost => Failure::Again(self.error()),
            Trouble::Unavailable | Trouble::Full | Trouble::ReadOnly | Trouble::Damaged | Trouble::Bug => {
                Failure::Stop(self.error())
            }
        }
    }
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By what the tables say.
    AsUsual,
    /// Before its first statement: nothing is decided. A resolving run learns nothing.
    Unreached(Trouble),
    /// Decided, and not committed.
    NotCommitted(Trouble),
    /// Committed, and the answer lost.
    UnknownCommitted,
    /// Not committed, and nobody knows.
    UnknownLost,
}

/// What one batch meets.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) end: End,
    delay: Duration,
    gate: Option<Gate>,
}

impl Fault {
    /// A batch that ends like this.
    pub fn ending(end: End) -> Self {
        Self { end, delay: Duration::ZERO, gate: None }
    }

    /// A batch that meets no fault; for a delay or a gate.
    pub fn as_usual() -> Self {
        Self::ending(End::AsUsual)
    }

    /// The COMMIT's answer is lost after it was done.
    pub fn unknown_committed() -> Self {
        Self::ending(End::UnknownCommitted)
    }

    /// The COMMIT is lost with its answer.
    pub fn unknown_lost() -> Self {
        Self::ending(End::UnknownLost)
    }

    /// Fails after it was decided.
    pub fn not_committed(trouble: Trouble) -> Self {
        Self::ending(End::NotCommitted(trouble))
    }

    /// Fails before it was decided.
    pub fn unreached(trouble: Trouble) -> Self {
        Self::ending(End::Unreached(trouble))
    }

    /// Takes so long before it reads anything, on tokio's clock.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Waits at a gate before it reads anything.
    pub fn held_by(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    pub(super) async fn wait(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
    }
}

/// Holds batches (or lists) until it is opened.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self { arrived: Arc::new(watch::Sender::new(0)), open: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until so many have come to it, past or present.
    pub async fn arrivals(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.expect("the gate is there");
    }

    /// Lets all through, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the gate is there");
    }
}

/// One call of `transact`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub batch_id: Uuid,
    /// Whether its outcome was asked for again.
    pub run: Run,
    /// Its footprint's users, tasks and requests.
    pub footprint: (usize, usize, usize),
    /// Its plan's tasks, entries and requests; `None` if it was not decided.
    pub plan: Option<(usize, usize, usize)>,
}

/// The script, and what was seen of the batches that ran by it.
#[derive(Default)]
pub struct Faults(Mutex<Script>);

#[derive(Default)]
struct Script {
    next: VecDeque<Fault>,
    always: Option<Fault>,
    reads: Option<Trouble>,
    lists: Option<Gate>,
    read_count: usize,
    seen: Vec<Seen>,
}

impl Faults {
    /// The next batches meet these, in order.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().next.extend(faults);
    }

    /// Every batch past the script meets this.
    pub fn always(&self, fault: Fault) {
        self.lock().always = Some(fault);
    }

    /// No more faults of any kind.
    pub fn clear(&self) {
        let mut script = self.lock();
        (script.next, script.always, script.reads, script.lists) = (VecDeque::new(), None, None, None);
    }

    /// Whether reads (and pruning) fail from now on.
    pub fn fail_reads(&self, trouble: Option<Trouble>) {
        self.lock().reads = trouble;
    }

    /// Lists of users wait here from now on.
    pub fn hold_lists(&self, gate: &Gate) {
        self.lock().lists = Some(gate.clone());
    }

    /// Every batch that ran, in order; runs of one batch share its id.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// How many reads were asked for.
    pub fn reads(&self) -> usize {
        self.lock().read_count
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().expect("no test panics while it holds the script")
    }

    pub(super) fn next(&self, batch_id: Uuid, run: Run, footprint: &Footprint) -> Fault {
        let mut script = self.lock();
        let footprint = &footprint.ledger;
        let footprint = (footprint.users.len(), footprint.tasks.len(), footprint.requests.len());
        script.seen.push(Seen { batch_id, run, footprint, plan: None });
        let always = script.always.clone();
        script.next.pop_front().or(always).unwrap_or_else(Fault::as_usual)
    }

    pub(super) fn planned(&self, batch_id: Uuid, plan: &Plan) {
        let mut script = self.lock();
        if let Some(seen) = script.seen.iter_mut().rev().find(|seen| seen.batch_id == batch_id) {
            let plan = &plan.ledger;
            seen.plan = Some((plan.tasks.len(), plan.entries.len(), plan.requests.len()));
        }
    }

    pub(super) async fn list(&self) {
        let gate = self.lock().lists.clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
    }

    pub(super) fn read(&self) -> Result<(), StoreError> {
        let mut script = self.lock();
        script.read_count += 1;
        script.reads.map_or(Ok(()), |trouble| Err(trouble.error()))
    }
}
