//! The replicas: engines on one database, started, killed between any two steps, and drained.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scrip::engine::{Engine, Handle, Options};
use tokio_util::sync::CancellationToken;

use crate::chance::{Chance, REPLICAS, SimIds};
use crate::database::{Connection, Database};
use crate::log::Log;

/// In virtual time, far longer than an engine may take for anything: what is not answered by then hangs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(300);

/// A replica as it is now.
struct Slot {
    /// `None` once it drains or is dead.
    engine: Option<Engine>,
    handle: Handle,
    life: CancellationToken,
    /// Calls that wait for an answer.
    open: Arc<AtomicUsize>,
}

/// A replica that a caller has found.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) replica: usize,
    pub(crate) handle: Handle,
    /// Ends with the process.
    pub(crate) life: CancellationToken,
    open: Arc<AtomicUsize>,
}

/// A call that waits for an answer, until it is dropped.
pub(crate) struct Open(Arc<AtomicUsize>);

impl Found {
    /// Counts one more call that waits.
    pub(crate) fn open(&self) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The replicas of one simulation.
pub(crate) struct Fleet {
    database: Arc<Database>,
    options: Options,
    slots: Mutex<Vec<Slot>>,
    chance: Mutex<Chance>,
    log: Arc<Log>,
}

impl Fleet {
    /// Starts so many.
    pub(crate) fn start(
        database: &Arc<Database>,
        options: Options,
        chance: Chance,
        (count, log): (usize, &Arc<Log>),
    ) -> Self {
        assert!((1..=REPLICAS).contains(&count), "as many as there are clocks for");
        let fleet = Self {
            database: Arc::clone(database),
            options,
            slots: Mutex::default(),
            chance: Mutex::new(chance),
            log: Arc::clone(log),
        };
        let slots = (0..count).map(|replica| fleet.launch(replica)).collect();
        *fleet.slots.lock().expect("whole") = slots;
        fleet
    }

    fn launch(&self, replica: usize) -> Slot {
        let life = CancellationToken::new();
        let (database, seed) = (Arc::clone(&self.database), self.chance.lock().expect("whole").number());
        let connection = Connection { database, replica, life: life.clone() };
        let ids = Arc::new(SimIds::new(Chance::stream(seed, 0)));
        let engine = Engine::start(&connection, ids, self.options.clone());
        Slot { handle: engine.handle(), engine: Some(engine), life, open: Arc::default() }
    }

    pub(crate) fn count(&self) -> usize {
        self.slots.lock().expect("whole").len()
    }

    /// Some replica that is there, as a load balancer finds it: also one that drains. `None` where all are dead.
    pub(crate) fn find(&self, chance: &mut Chance) -> Option<Found> {
        let slots = self.slots.lock().expect("whole");
        let alive: Vec<_> = slots.iter().enumerate().filter(|(_, slot)| !slot.life.is_cancelled()).collect();
        let (replica, slot) = *alive.get(chance.below(alive.len().max(1)))?;
        let (handle, life, open) = (slot.handle.clone(), slot.life.clone(), Arc::clone(&slot.open));
        Some(Found { replica, handle, life, open })
    }

    /// Kills one: whatever it was doing ends here.
    pub(crate) fn kill(&self, replica: usize) {
        let mut slots = self.slots.lock().expect("whole");
        slots[replica].life.cancel();
        slots[replica].engine = None;
    }

    /// Starts each one anew that is dead, or one that chance picks of them.
    pub(crate) fn revive(&self, picked: impl Fn(usize) -> bool) {
        for replica in 0..self.count() {
            let is_dead = self.slots.lock().expect("whole")[replica].life.is_cancelled();
            if is_dead && picked(replica) {
                self.log.line(|| format!("replica {replica} starts"));
                let slot = self.launch(replica);
                self.slots.lock().expect("whole")[replica] = slot;
            }
        }
    }

    /// Ends those whose drain was not waited for.
    pub(crate) fn end_drains(&self) {
        for slot in self.slots.lock().expect("whole").iter().filter(|slot| slot.engine.is_none()) {
            slot.life.cancel();
        }
    }

    /// Drains one, and ends it. Answers what is wrong with how it ended, if it was not killed meanwhile.
    pub(crate) async fn drain(&self, replica: usize) -> Option<&'static str> {
        let (engine, life, open) = {
            let slot = &mut self.slots.lock().expect("whole")[replica];
            (slot.engine.take(), slot.life.clone(), Arc::clone(&slot.open))
        };
        let engine = engine.filter(|_| !life.is_cancelled())?;
        self.log.line(|| format!("replica {replica} drains"));
        let wrong = tokio::select! {
            biased;
            () = engine.drain() => if all_answered(&open).await { None } else { Some("a drain lost a call") },
            () = life.cancelled() => None,
            () = tokio::time::sleep(HANGS_AFTER) => Some("a drain does not end"),
        };
        self.log.line(|| format!("replica {replica} has ended"));
        let wrong = wrong.filter(|_| !life.is_cancelled());
        life.cancel();
        wrong
    }
}

/// Whether nobody waits for an answer any more, once all who have one have been let to take it.
async fn all_answered(open: &AtomicUsize) -> bool {
    for _ in 0..1_000 {
        if open.load(Ordering::Relaxed) == 0 {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}
