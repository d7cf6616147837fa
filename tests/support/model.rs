//! The in-memory store: the third backend of the contract suite, and the store that engine tests can make fail.
//!
//! Tables are the maps of [`world`] and [`keypool_world`], under the constraints of the migrations; one lock stands for all row locks, as on
//! SQLite. The clock is handed in. What a batch meets on its way is scripted by [`Faults`].

pub mod faults;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;
use scrip::clock::Clock;
use scrip::ledger::{Micros, TaskStatus, Text};
use scrip::store::{
    Decide, Failure, Footprint, Plan, Reader, Run, Snapshot, Store, StoreError, Transacted, Writer,
};
use scrip::{keypool, ledger};
use uuid::Uuid;

#[allow(unused_imports, reason = "what one test crate leaves unused another needs")]
pub use faults::{End, Fault, Faults, Gate, Seen, Trouble};

#[path = "keypool_world.rs"]
pub mod keypool_world;
#[path = "world.rs"]
pub mod world;

use keypool_world::World as PoolWorld;
use world::{Violation, World};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock at a moment.
    pub fn at(now: Micros) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.0)))
    }

    /// Moves it, forward or back.
    pub fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

/// The store. Clones share everything.
#[derive(Clone)]
pub struct Model(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
    /// Held by a batch from its first read to its commit.
    lock: tokio::sync::Mutex<()>,
    faults: Faults,
}

#[derive(Clone, Default)]
struct Tables {
    world: World,
    pool: PoolWorld,
    commits: BTreeSet<Uuid>,
}

impl Tables {
    fn snapshot(&self, footprint: &Footprint, now: Micros) -> Snapshot {
        let ledger = self.world.snapshot(&footprint.ledger, now);
        if footprint.keys.is_empty() {
            return Snapshot { ledger, keys: keypool::Snapshot { now, ..keypool::Snapshot::default() } };
        }
        let tasks = footprint.keys.tasks.iter().filter_map(|task_id| self.world.tasks().get(task_id));
        let running = tasks.map(|row| &row.task).filter(|task| task.status == TaskStatus::Processing);
        let running_on: BTreeMap<Text, Text> =
            running.map(|task| (Text::clone(&task.task_id), Text::clone(&task.key_id))).collect();
        Snapshot { ledger, keys: self.pool.read(&footprint.keys, &running_on, now) }
    }

    /// Writes both parts of a plan, or neither.
    fn apply(&mut self, plan: &Plan) -> Result<(), Violation> {
        if plan.keys.is_empty() {
            return self.world.apply(&plan.ledger);
        }
        let mut pool = self.pool.clone();
        let constraint = "those of the key pool";
        pool.try_apply(&plan.keys).map_err(|row| Violation { constraint, row })?;
        self.world.apply(&plan.ledger)?;
        self.pool = pool;
        Ok(())
    }
}

impl Model {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (tables, lock) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Shared { clock, tables, lock, faults: Faults::default() }))
    }

    /// A store that holds this already.
    pub fn holding(clock: Arc<dyn Clock>, world: World) -> Self {
        Self::holding_both(clock, world, PoolWorld::default())
    }

    /// A store that holds this of the ledger and that of the key pool already.
    pub fn holding_both(clock: Arc<dyn Clock>, world: World, pool: PoolWorld) -> Self {
        let model = Self::new(clock);
        (model.0.tables().world, model.0.tables().pool) = (world, pool);
        model
    }

    /// What batches and reads meet, and what they were seen to do.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Everything stored, as of now.
    pub fn world(&self) -> World {
        self.0.tables().world.clone()
    }

    /// All that is stored of the key pool, as of now.
    pub fn pool(&self) -> PoolWorld {
        self.0.tables().pool.clone()
    }

    /// How many batch ids are kept.
    pub fn commits(&self) -> usize {
        self.0.tables().commits.len()
    }
}

impl Store for Model {
    fn writer(&self) -> Box<dyn Writer> {
        Box::new(ModelWriter(Arc::clone(&self.0)))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(reader::ModelReader(Arc::clone(&self.0)))
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

impl Shared {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("no test panics while it holds the tables")
    }

    async fn transact(
        &self,
        batch_id: Uuid,
        run: Run,
        footprint: &Footprint,
        decide: Decide<'_>,
    ) -> Transacted {
        let fault = self.faults.next(batch_id, run, footprint);
        fault.wait().await;
        match fault.end {
            // What became of the earlier run is as unknown as before.
            End::Unreached(trouble) if run == Run::Resolving => {
                return Transacted::Unknown(trouble.error());
            }
            End::Unreached(trouble) => return Transacted::NotCommitted(trouble.failure()),
            End::AsUsual | End::NotCommitted(_) | End::UnknownCommitted | End::UnknownLost => {}
        }
        let _locked = self.lock.lock().await;
        if run == Run::Resolving && self.tables().commits.contains(&batch_id) {
            return Transacted::AlreadyCommitted;
        }
        let snapshot = self.tables().snapshot(footprint, self.clock.now());
        let plan = decide(snapshot);
        self.faults.planned(batch_id, &plan);
        if plan.is_empty() {
            return Transacted::Committed;
        }
        match fault.end {
            End::NotCommitted(trouble) => Transacted::NotCommitted(trouble.failure()),
            End::UnknownLost => Transacted::Unknown(Trouble::Unavailable.error()),
            End::UnknownCommitted => match self.commit(batch_id, &plan) {
                Ok(()) => Transacted::Unknown(Trouble::Unavailable.error()),
                Err(failure) => Transacted::NotCommitted(failure),
            },
            End::AsUsual | End::Unreached(_) => match self.commit(batch_id, &plan) {
                Ok(()) => Transacted::Committed,
                Err(failure) => Transacted::NotCommitted(failure),
            },
        }
    }

    fn commit(&self, batch_id: Uuid, plan: &Plan) -> Result<(), Failure> {
        let mut tables = self.tables();
        let duplicate = tables.commits.contains(&batch_id);
        let unique = Violation { constraint: "scrip_commits_pkey", row: batch_id.to_string() };
        let written = if duplicate { Err(unique) } else { tables.apply(plan) };
        written.map_err(|violation| {
            let source = format!("{violation:?}").into();
            // Under the lock nobody wrote since the footprint was read: whatever the tables refuse is a bug.
            Failure::Stop(StoreError::Bug { what: "writing a batch", source })
        })?;
        tables.commits.insert(batch_id);
        Ok(())
    }
}

struct ModelWriter(Arc<Shared>);

impl Writer for ModelWriter {
    fn transact<'a>(
        &'a mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &'a Footprint,
        decide: Decide<'a>,
    ) -> BoxFuture<'a, Transacted> {
        Box::pin(self.0.transact(batch_id, run, footprint, decide))
    }

    fn prune_commits(&mut self, before: Micros, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            self.0.faults.read()?;
            let millis = u128::try_from(before.0.div_euclid(1_000)).unwrap_or(0);
            let first_kept = Uuid::from_u128(millis << 80);
            let mut tables = self.0.tables();
            let old: Vec<Uuid> = tables.commits.range(..first_kept).take(limit as usize).copied().collect();
            tables.commits.retain(|id| !old.contains(id));
            Ok(old.len() as u64)
        })
    }
}
