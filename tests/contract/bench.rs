//! A fresh store, a writer on it, and its shadow in memory.

use std::sync::Arc;

use scrip::clock::{Clock, System};
use scrip::engine::verify;
use scrip::keypool::{AccountKey, Lease};
use scrip::ledger::decide::{Done, Outcome};
use scrip::ledger::{
    Entry, EntryRange, Footprint, Micros, Plan, Rejection, RequestRecord, User, Work, decide,
};
use scrip::store::{
    AuditRecord, AuditSnapshot, Failure, Page, PoolRows, Reader, Run, Snapshot, Store, StoredEntry,
    TaskRecord, Transacted, Writer,
};
use uuid::Uuid;

use crate::commands::{AsCommand, submission};
use crate::invariants;
use crate::pgbouncer::PgBouncer;
use crate::support::model::keypool_world::World as PoolWorld;
use crate::support::model::world::World;
use crate::support::model::{Model, TestClock};
use crate::support::{eventually, postgres};

/// When the injected clocks begin.
pub(crate) const START: Micros = Micros(1_760_000_000_000_000);

pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) writer: Box<dyn Writer>,
    /// What the store must hold, by the plans that were committed through this bench.
    pub(crate) shadow: World,
    /// What it must hold of the key pool.
    pub(crate) pool: PoolWorld,
    /// Writers of the test's own have written too, so that the shadow does not hold it all.
    pub(crate) raced: bool,
    /// The plan of the newest batch.
    pub(crate) plan: Plan,
    /// The injected clock; `None` where the database's own counts.
    clock: Option<Arc<TestClock>>,
    fresh_ids: u32,
    _directory: Option<tempfile::TempDir>,
    _pgbouncer: Option<PgBouncer>,
}

/// Everything stored, page by page.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) users: Vec<User>,
    pub(crate) entries: Vec<StoredEntry>,
    pub(crate) tasks: Vec<TaskRecord>,
    pub(crate) requests: Vec<RequestRecord>,
    pub(crate) leases: Vec<Lease>,
    pub(crate) pool: PoolRows,
}

pub(crate) fn batch_id() -> Uuid {
    System::ids().batch_id()
}

impl Bench {
    pub(crate) async fn model() -> Option<Bench> {
        let clock = TestClock::at(START);
        let store = Arc::new(Model::new(Arc::clone(&clock) as Arc<dyn Clock>));
        Some(Bench::of(store, Some(clock), None))
    }

    pub(crate) async fn sqlite() -> Option<Bench> {
        let clock = TestClock::at(START);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("scrip.db").display());
        let options = scrip::store::sqlite::Options::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let store = scrip::store::sqlite::open(&url, options).await.expect("a new file opens");
        Some(Bench::of(store, Some(clock), Some(directory)))
    }

    pub(crate) async fn postgres() -> Option<Bench> {
        let url = postgres::shared()?.fresh_database().await;
        let options = scrip::store::postgres::Options { migrate: true, ..Default::default() };
        let store = scrip::store::postgres::open(&url, options).await.expect("a new database opens");
        Some(Bench::of(store, None, None))
    }

    /// PostgreSQL behind PgBouncer in transaction mode: no two transactions need be of one session.
    pub(crate) async fn pooled() -> Option<Bench> {
        let cluster = postgres::shared()?;
        let pgbouncer = PgBouncer::start(cluster.addr(), 4).await?;
        let url = cluster.fresh_database().await;
        let options = scrip::store::postgres::Options::default();
        scrip::store::postgres::migrate(&url, &options).await.expect("a new database is migrated");
        let store = scrip::store::postgres::open(&pgbouncer.url(&url), options).await.expect("it opens");
        let bench = Bench { _pgbouncer: Some(pgbouncer), ..Bench::of(store, None, None) };
        // Its first session takes a process of the server's: on a busy machine longer than a reader waits.
        eventually("PgBouncer answers", async || bench.reader.now().await.is_ok()).await;
        Some(bench)
    }

    fn of(
        store: Arc<dyn Store>,
        clock: Option<Arc<TestClock>>,
        directory: Option<tempfile::TempDir>,
    ) -> Bench {
        Bench {
            reader: store.reader(),
            writer: store.writer(),
            store,
            shadow: World::default(),
            pool: PoolWorld::default(),
            raced: false,
            plan: Plan::default(),
            clock,
            fresh_ids: 0,
            _directory: directory,
            _pgbouncer: None,
        }
    }

    /// The moment the next batch is judged by, or a little before it.
    pub(crate) async fn now(&self) -> Micros {
        self.reader.now().await.expect("the time")
    }

    /// Lets time pass: moves the clock, or waits until the database's has moved.
    pub(crate) async fn pass(&self, micros: i64) {
        match &self.clock {
            Some(clock) => clock.advance(micros),
            None => {
                let until = self.now().await.plus(micros);
                eventually("the database's clock moves on", async || self.now().await >= until).await;
            }
        }
    }

    /// Whether the clock can be set back.
    pub(crate) fn clock(&self) -> Option<&TestClock> {
        self.clock.as_deref()
    }

    /// Runs a batch until it is committed, and follows it in the shadow.
    pub(crate) async fn transact(&mut self, work: &[Work]) -> Vec<Vec<Outcome>> {
        let (outcomes, plan) = transact(self.writer.as_mut(), work).await;
        self.shadow.apply(&plan).expect("the model takes what the store took");
        self.plan = plan;
        outcomes
    }

    pub(crate) async fn run_as(&mut self, request_id: &str, command: impl AsCommand) -> Outcome {
        let submission = submission(request_id, command)?;
        self.transact(&[Work::One(submission)]).await.remove(0).remove(0)
    }

    /// Runs a command without a request id, or with a fresh one where it needs one.
    pub(crate) async fn run(&mut self, command: impl AsCommand) -> Outcome {
        let command = command.command();
        match submission("", command.clone()) {
            Err(Rejection::RequestIdRequired) => {
                self.fresh_ids += 1;
                let request_id = format!("fresh-{}", self.fresh_ids);
                self.run_as(&request_id, command).await
            }
            _ => self.run_as("", command).await,
        }
    }

    /// Runs a command that must be done now.
    pub(crate) async fn ok(&mut self, command: impl AsCommand) -> Done {
        let done = self.run(command).await.expect("done");
        assert!(!done.replayed, "done now, not before");
        done
    }

    /// What was decided is what is stored: the user, the task, the entries.
    pub(crate) async fn assert_stored(&self, done: &Done) {
        let users = self.reader.users(&[done.user.user_id]).await.expect("users");
        assert_eq!(users, [done.user]);
        if let Some(task) = &done.task {
            let record = self.reader.task(&task.task_id).await.expect("a task").expect("it is there");
            assert_eq!(record.task, **task);
            assert_eq!(record.is_refund, !task.refunded.is_zero());
        }
        let written: Vec<Entry> = done.entries.iter().map(|entry| Entry::clone(entry)).collect();
        if let (Some(first), Ok(count)) = (written.first(), i16::try_from(written.len())) {
            let range = EntryRange { first_seq: first.user_seq, count };
            let mut entries = self.reader.entries(&[(first.user_id, range)]).await.expect("entries");
            entries.sort_by_key(|entry| entry.user_seq);
            assert_eq!(entries, written);
        }
    }

    /// Everything the store holds is what its shadow holds, and verify agrees.
    pub(crate) async fn finish(&self) {
        if self.raced {
            return self.verify().await;
        }
        let wrong = invariants::of_world(&self.shadow);
        assert!(wrong.is_empty(), "{wrong:#?}");
        let wrong = self.pool.wrong();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let shadow = self.shadow_reader().await;
        let expected = stored_of(shadow.audit_snapshot().await.expect("a snapshot of memory")).await;
        assert_eq!(self.stored().await, expected);
        assert_eq!(secrets(self.reader.as_ref()).await, secrets(shadow.as_ref()).await);
        assert_eq!(audit_log(self.reader.as_ref()).await, audit_log(shadow.as_ref()).await);
        self.verify().await;
    }

    /// The store agrees with itself.
    pub(crate) async fn verify(&self) {
        let mut found = Vec::new();
        let snapshot = self.reader.audit_snapshot().await.expect("a snapshot");
        let verification = verify(snapshot, &mut |wrong| found.push(wrong), &mut |_| {}).await;
        assert!(found.is_empty(), "{found:#?}");
        assert_eq!(verification.expect("read to the end").disagreements, 0);
    }

    /// Everything the store holds.
    pub(crate) async fn stored(&self) -> Stored {
        stored_of(self.reader.audit_snapshot().await.expect("a snapshot")).await
    }

    /// A reader of the shadow, by the clock of the store.
    pub(crate) async fn shadow_reader(&self) -> Arc<dyn Reader> {
        let clock = TestClock::at(self.now().await);
        Model::holding_both(clock, self.shadow.clone(), self.pool.clone()).reader()
    }
}

/// All keys that hold a secret, page by page.
pub(crate) async fn secrets(reader: &dyn Reader) -> Vec<AccountKey> {
    let mut keys: Vec<AccountKey> = Vec::new();
    loop {
        let last = keys.last().cloned();
        let after =
            last.as_ref().map_or((0, "", ""), |key| (key.account_id, key.purpose.as_str(), &key.key_id));
        let page = reader.sealed_keys(after, 3).await.expect("keys");
        if page.is_empty() {
            return keys;
        }
        keys.extend(page);
    }
}

/// The whole audit log in the order of writing, page by page, whatever the row ids.
pub(crate) async fn audit_log(reader: &dyn Reader) -> Vec<AuditRecord> {
    let mut rows: Vec<AuditRecord> = Vec::new();
    loop {
        let page = Page { before: rows.last().map(|row| row.id), limit: 7 };
        let more = reader.audit_log(None, page).await.expect("the audit log");
        if more.is_empty() {
            rows.reverse();
            (1..).zip(&mut rows).for_each(|(id, row)| row.id = id);
            return rows;
        }
        rows.extend(more);
    }
}

/// Runs a batch until it is committed: the first answer that is not "again".
pub(crate) async fn transact(writer: &mut dyn Writer, work: &[Work]) -> (Vec<Vec<Outcome>>, Plan) {
    let footprint = Footprint::of(work).into();
    for _ in 0..1_000 {
        let mut decision = None;
        let mut judge = |snapshot: Snapshot| {
            let decided = decide(snapshot.ledger, work);
            let plan = decided.plan.clone();
            decision = Some(decided);
            plan.into()
        };
        let transacted = writer.transact(batch_id(), Run::First, &footprint, &mut judge).await;
        match transacted {
            Transacted::Committed => {
                let decision = decision.expect("a committed batch was decided");
                return (decision.outcomes, decision.plan);
            }
            Transacted::NotCommitted(Failure::Again(_)) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
    panic!("a thousand conflicts in a row");
}

/// Reads a snapshot to its end, in pages that do not divide what is there.
async fn stored_of(mut snapshot: Box<dyn AuditSnapshot>) -> Stored {
    const PAGE: u32 = 7;
    let mut pool = snapshot.key_pool().await.expect("the key pool");
    // Of no promised order, and of the moment of reading.
    pool.now = Micros(0);
    pool.workspaces.sort_by_key(|row| Arc::clone(&row.workspace));
    pool.accounts.sort_by_key(|row| row.account_id);
    pool.usage.sort_by_key(|row| Arc::clone(&row.workspace));
    let mut stored =
        Stored { users: vec![], entries: vec![], tasks: vec![], requests: vec![], leases: vec![], pool };
    loop {
        let after = stored.users.last().map_or(0, |user: &User| user.user_id);
        let page = snapshot.users(after, PAGE).await.expect("users");
        if page.is_empty() {
            break;
        }
        stored.users.extend(page);
    }
    loop {
        let after = stored.entries.last().map_or((0, 0), |entry| (entry.user_id, entry.user_seq));
        let page = snapshot.entries(after, 97).await.expect("entries");
        if page.is_empty() {
            break;
        }
        stored.entries.extend(page);
    }
    assert_eq!(snapshot.orphan_points((0, 0), PAGE).await.expect("orphans"), []);
    loop {
        let after = stored.tasks.last().map_or((0, 0), |row| (row.task.user_id, row.id));
        let page = snapshot.tasks(after, 97).await.expect("tasks");
        if page.is_empty() {
            break;
        }
        stored.tasks.extend(page);
    }
    loop {
        let last = stored.requests.last();
        let after = last.map_or((0, "".into()), |row| (row.user_id, Arc::clone(&row.request_id)));
        let page = snapshot.requests((after.0, &after.1), 97).await.expect("requests");
        if page.is_empty() {
            break;
        }
        stored.requests.extend(page);
    }
    loop {
        let last = stored.leases.last();
        let after = last.map_or(("".into(), 0), |lease| (Arc::clone(&lease.task_id), lease.fence));
        let page = snapshot.leases((&after.0, after.1), 7).await.expect("leases");
        if page.is_empty() {
            break;
        }
        stored.leases.extend(page);
    }
    // A database sorts text by its own collation, and numbers rows as it likes as long as the order is that of writing.
    stored.requests.sort_by_key(|row| (row.user_id, Arc::clone(&row.request_id)));
    (1..).zip(&mut stored.tasks).for_each(|(id, row)| row.id = id);
    stored
}
