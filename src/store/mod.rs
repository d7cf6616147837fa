//! The stores: where a batch's rows are locked, read and written, in one durable commit.
//!
//! A store is two doors. A [`Writer`] runs batches, one at a time, on a connection of its own; a [`Reader`] answers
//! everything that changes nothing. [`sqlite`] and [`postgres`] each speak their own full dialect, from `.sql` files
//! beside their code; one contract suite holds both to the same behaviour.
//!
//! The phases of [`Writer::transact`]:
//!
//! | phase | why there |
//! |---|---|
//! | begin | on a dedicated connection: nothing else can be inside the transaction |
//! | lock the footprint's users, sorted | the one guard of everything a user owns; one order, so no deadlock |
//! | read users, tasks, requests and `now` | after the locks, in later statements, so that what is read is current |
//! | lock workspaces, sorted; read their accounts, leases, keys | only for batches that name keys; always after the users |
//! | decide | pure; may run again after a conflict |
//! | write the plan and the batch id | a few bulk statements |
//! | commit | durable; only then is anybody answered |

mod error;
mod migration;
pub mod postgres;
pub mod reconcile;
pub mod rows;
pub mod sqlite;
pub mod tokens;

use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::keypool::{AccountId, AccountKey, Lease};
use crate::ledger::{EntryRange, Micros, Text, User, UserId};
use crate::{keypool, ledger};

pub use error::{Failure, StoreError, Transacted};
pub use migration::MigrationReport;
pub use rows::{
    AccountRecord, AuditRecord, EntryQuery, Figures, FinancialQuery, FinancialTransaction, LeaseRecord, Page,
    PastBalance, PointsDetail, PointsQuery, PoolRows, StoredEntry, TaskOwner, TaskQuery, TaskRecord,
    UserCursor,
};

/// What a batch touches: the rows to lock and read before it can be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Of the ledger.
    pub ledger: ledger::Footprint,
    /// Of the key pool; empty for most batches, which then cost nothing more.
    pub keys: keypool::Footprint,
}

/// The rows of a footprint, read under the locks, and one moment for both rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the ledger.
    pub ledger: ledger::Snapshot,
    /// Of the key pool.
    pub keys: keypool::Snapshot,
}

/// Everything a batch writes, in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Of the ledger.
    pub ledger: ledger::Plan,
    /// Of the key pool.
    pub keys: keypool::Plan,
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ledger.is_empty() && self.keys.is_empty()
    }
}

impl From<ledger::Footprint> for Footprint {
    fn from(ledger: ledger::Footprint) -> Self {
        Self { ledger, ..Self::default() }
    }
}

impl From<ledger::Plan> for Plan {
    fn from(ledger: ledger::Plan) -> Self {
        Self { ledger, ..Self::default() }
    }
}

/// Decides a batch from its snapshot. Called at most once a transaction; a retried batch calls it again.
pub type Decide<'a> = &'a mut (dyn FnMut(Snapshot) -> Plan + Send);

/// Whether a batch id may already have been committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The id is new: it is written with the rest of the plan.
    First,
    /// An earlier run ended in [`Transacted::Unknown`]: the id is inserted before anything else. The insert waits for
    /// the orphaned transaction; if the id is there, the batch had committed.
    Resolving,
}

/// A database, opened, checked and migrated.
pub trait Store: Send + Sync + 'static {
    /// A writer with a connection of its own, made at its first batch and remade after a failure.
    fn writer(&self) -> Box<dyn Writer>;

    /// The reader, shared by all.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Runs of reconciliation; `None` of a store that keeps none.
    fn reconcile(&self) -> Option<Arc<dyn reconcile::ReconcileStore>> {
        None
    }

    /// The tokens by which callers prove who they are; `None` of a store that keeps none.
    fn tokens(&self) -> Option<Arc<dyn tokens::TokenStore>> {
        None
    }

    /// What it is, for people and without secrets: `SQLite ./scrip.db` or `PostgreSQL 15.18 at db:5432/scrip`.
    fn describe(&self) -> String;

    /// Lets go of the database in good order; SQLite then leaves one file, which can be copied as it is. What comes
    /// after fails or connects anew.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Runs batches, one at a time.
pub trait Writer: Send {
    /// Locks, reads, decides, writes and commits one batch. A plan with nothing to write commits nothing and answers
    /// [`Transacted::Committed`].
    fn transact<'a>(
        &'a mut self,
        batch_id: Uuid,
        run: Run,
        footprint: &'a Footprint,
        decide: Decide<'a>,
    ) -> BoxFuture<'a, Transacted>;

    /// Forgets batch ids that no unknown outcome can still ask for: those older than `before`, at most `limit` of
    /// them. Answers how many went.
    fn prune_commits(&mut self, before: Micros, limit: u32) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// Answers everything that changes nothing. Never waits for a writer's locks.
pub trait Reader: Send + Sync + 'static {
    /// The moment the next batch would be judged by, near enough for a reader.
    fn now(&self) -> BoxFuture<'_, Result<Micros, StoreError>>;

    /// Whether the database answers and can be written, as far as this process knows.
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { self.now().await.map(|_| ()) })
    }

    /// The users of `user_ids` that exist, in no order.
    fn users<'a>(&'a self, user_ids: &'a [UserId]) -> BoxFuture<'a, Result<Vec<User>, StoreError>>;

    /// A user's purses after the last entry at or before `at`; `None` if the user does not exist. Before the first
    /// entry the purses are empty and `time` is `None`.
    fn past_balance(
        &self,
        user_id: UserId,
        at: Micros,
    ) -> BoxFuture<'_, Result<Option<PastBalance>, StoreError>>;

    /// The owners of the tasks of `task_ids` that exist, in no order.
    fn task_owners<'a>(&'a self, task_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<TaskOwner>, StoreError>>;

    /// The entries of all `ranges`, in no order.
    fn entries<'a>(
        &'a self,
        ranges: &'a [(UserId, EntryRange)],
    ) -> BoxFuture<'a, Result<Vec<crate::ledger::Entry>, StoreError>>;

    /// Entries newest first; `page.before` is a `user_seq`.
    fn list_entries<'a>(
        &'a self,
        query: &'a EntryQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<crate::ledger::Entry>, StoreError>>;

    /// Points rows newest first; `page.before` is a `user_seq`, answered beside each row.
    fn list_points_details<'a>(
        &'a self,
        query: &'a PointsQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, PointsDetail)>, StoreError>>;

    /// Financial rows newest first; `page.before` is a `user_seq`, answered beside each row.
    fn list_financial_transactions<'a>(
        &'a self,
        query: &'a FinancialQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, FinancialTransaction)>, StoreError>>;

    /// Users newest first.
    fn list_users(
        &self,
        before: Option<UserCursor>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>>;

    /// One task with its JSON.
    fn task<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Option<TaskRecord>, StoreError>>;

    /// Tasks newest first, with their JSON; `page.before` is a row id.
    fn list_tasks<'a>(
        &'a self,
        query: &'a TaskQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<TaskRecord>, StoreError>>;

    /// Open holds whose time has passed by the database's (SQLite: the injected) clock, longest overdue first.
    fn due_holds(&self, limit: u32) -> BoxFuture<'_, Result<Vec<(UserId, Text)>, StoreError>>;

    /// Charged tasks that are still pending or processing and were created before `created_before`, oldest first;
    /// `after` is the row id of the last one seen.
    fn stuck_tasks(
        &self,
        created_before: Micros,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>>;

    /// The whole pool as it is now, without deleted accounts: for the cached view that proposes candidates.
    fn key_pool(&self) -> BoxFuture<'_, Result<PoolRows, StoreError>>;

    /// Accounts by their ids, in no order; deleted ones are not there.
    fn accounts<'a>(
        &'a self,
        account_ids: &'a [AccountId],
    ) -> BoxFuture<'a, Result<Vec<AccountRecord>, StoreError>>;

    /// Accounts newest first, without deleted ones; `page.before` is an account's id.
    fn list_accounts(&self, page: Page) -> BoxFuture<'_, Result<Vec<AccountRecord>, StoreError>>;

    /// The leases of `lease_ids` that exist, in no order, each with its account's name and its key.
    fn leases<'a>(&'a self, lease_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<LeaseRecord>, StoreError>>;

    /// Open leases whose time has passed by the clock that judges, longest overdue first.
    fn due_leases(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Text>, StoreError>>;

    /// Keys that hold a secret, by (account, purpose's word, key id); at most `limit` after the key given.
    fn sealed_keys<'a>(
        &'a self,
        after: (AccountId, &'a str, &'a str),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<AccountKey>, StoreError>>;

    /// The audit log newest first, of one account or of all; `page.before` is a row's id.
    fn audit_log(
        &self,
        account_id: Option<AccountId>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<AuditRecord>, StoreError>>;

    /// What operators watch: slow, and asked for seldom.
    fn figures(&self) -> BoxFuture<'_, Result<Figures, StoreError>>;

    /// One snapshot of every stored figure, for `verify`.
    fn audit_snapshot(&self) -> BoxFuture<'_, Result<Box<dyn AuditSnapshot>, StoreError>>;
}

/// Everything stored, as of one moment, page by page in key order. Each call answers at most `limit` rows after the
/// key given; an empty answer is the end.
pub trait AuditSnapshot: Send {
    /// How many rows the tables hold, roughly: for a progress bar alone.
    fn estimate(&mut self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Users by id.
    fn users(&mut self, after: UserId, limit: u32) -> BoxFuture<'_, Result<Vec<User>, StoreError>>;

    /// Financial rows with their points twins, by (user_id, user_seq).
    fn entries(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<StoredEntry>, StoreError>>;

    /// Points rows that have no financial row of their number, by (user_id, user_seq).
    fn orphan_points(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(UserId, i64)>, StoreError>>;

    /// Tasks by (user_id, row id), with `is_refund` and the number of attempt rows as stored.
    fn tasks(
        &mut self,
        after: (UserId, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>>;

    /// Idempotency records by (user_id, request_id).
    fn requests<'a>(
        &'a mut self,
        after: (UserId, &'a str),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<crate::ledger::RequestRecord>, StoreError>>;

    /// Leases by (task_id, fence), in the order of the bytes of `task_id`.
    fn leases<'a>(
        &'a mut self,
        after: (&'a str, i64),
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Lease>, StoreError>>;

    /// All workspaces and accounts, deleted ones too.
    fn key_pool(&mut self) -> BoxFuture<'_, Result<PoolRows, StoreError>>;
}
