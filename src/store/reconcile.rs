//! The door for reconciliation: runs, the evidence they gather, the rows they judge, and what they find.
//!
//! | phase of a run | what it asks of the store |
//! |---|---|
//! | begin | [`ReconcileStore::create_run`]; one process works at a time, by [`ReconcileStore::hold`] |
//! | fetch | each page is stored with the place after it, in one commit: a crash loses at most a page |
//! | judge | [`ReconcileStore::evidence`]: one snapshot of tasks, events and ledgers, each sorted as `audit` reads them |
//! | keep | findings, rows of the report and planned costs, in chunks; a run taken up again clears them first |
//! | apply | planned costs, chunk by chunk, into the one column that is reconciliation's |
//!
//! Upstream events are kept once, whoever fetched them and however often. A run judges those that its own fetch saw: what
//! fal has corrected since an earlier one stays as evidence, and is not judged again.
//!
//! Whoever takes a run up has its [`Turn`], and with it each of its writes. It is over once anybody took up this run or
//! another one: a process that fell silent writes nothing any more.
//!
//! A write that failed may be repeated as it is, whether or not it was written after all: each finds what is there. Only
//! a run begun without a `request_id` would be begun twice.

mod places;
mod run;

use futures::future::BoxFuture;
use uuid::Uuid;

use super::StoreError;
use crate::audit;
use crate::keypool::AccountId;
use crate::ledger::{Micros, Text, UserId};

pub(in crate::store) use places::{CHUNK, Sighting, rank, sightings};
pub use run::{Begun, NewRun, Outline, Run, RunChange, RunState, Turn, WriteError};

/// What is kept of a page that could not be read.
pub const GARBAGE_BYTES: usize = 64 << 10;

/// How far one source of one account has been fetched: a row of `scrip_reconciliation_fetches`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRow {
    /// Through which account.
    pub account_id: AccountId,
    /// `billing_events`, `usage` or `balance`.
    pub source: Text,
    /// Where the next page is, as the fetcher wrote it; empty before the first and after the last.
    pub position: Text,
    /// Pages stored.
    pub pages: i64,
    /// Rows stored.
    pub rows: i64,
    /// `running`, `complete` or `failed`.
    pub state: Text,
    /// What it brought where that is no event: usage rows, or a balance, as JSON; empty otherwise.
    pub result: Text,
    /// Why it failed, as JSON for people and programs; empty otherwise.
    pub error: Text,
    /// The page that could not be read, as it came, cut to [`GARBAGE_BYTES`]; empty otherwise.
    pub garbage: Vec<u8>,
}

/// One upstream event: a row of `scrip_billing_events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The workspace it was billed to.
    pub workspace: Text,
    /// The account through which it was fetched last.
    pub account_id: AccountId,
    /// The request.
    pub request_id: Text,
    /// The model.
    pub endpoint_id: Text,
    /// fal's time of it, as `raw` says it.
    pub time: Micros,
    /// After discount, in nano-USD; `None` where fal does not say.
    pub cost_nano_usd: Option<i64>,
    /// In 10⁻⁹ units; `None` where fal does not say.
    pub units_nano: Option<i64>,
    /// The row as fal wrote it when it was new, canonical JSON.
    pub raw: Text,
}

/// What a snapshot is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The [`Run::pass`] of the run that judges: its events are those that this pass saw.
    pub pass: i64,
    /// Tasks created in [start, end) are judged.
    pub tasks: (Micros, Micros),
    /// Events of [start, end). Where it starts before `tasks`, tasks created since then that are open, or were when the
    /// period began, come along.
    pub events: (Micros, Micros),
    /// The workspaces whose events count, each once, with the account that stands for it in this run: those that were
    /// fetched through it.
    pub sources: Vec<(Text, AccountId)>,
}

/// Which findings to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingQuery {
    /// Of which run.
    pub run_id: i64,
    /// Only of this rule.
    pub rule: Option<Text>,
    /// Only of this severity: `HIGH`, `MEDIUM`, `LOW`.
    pub severity: Option<Text>,
}

/// A stored finding: gravest first, then by rule, then as they arose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingRow {
    /// Its place in that order: the severity's rank (1 is the gravest), the rule, the number.
    pub place: (i16, Text, i64),
    /// As the audit found it.
    pub finding: audit::Finding,
}

/// A stored row of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// 1 workspaces, 2 accounts by user and model, 3 users.
    pub layer: i16,
    /// Its place in the layer.
    pub number: i64,
    /// What it says, as JSON.
    pub content: String,
}

/// A planned cost that was, or was not, written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The number of the last planned cost looked at.
    pub after: i64,
    /// How many were looked at: fewer than the limit where there are no more.
    pub seen: u32,
    /// Written now: the others had the cost already, or another one than the plan knew.
    pub written: u32,
}

/// Runs and what belongs to them. Writes queue behind the batches of the engine, in bounded chunks.
pub trait ReconcileStore: Send + Sync + 'static {
    /// Takes or extends the named lease for so many microseconds; false where another holder has it.
    fn hold(&self, name: &'static str, holder: Uuid, micros: i64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Gives the named lease back, if it is this holder's.
    fn let_go(&self, name: &'static str, holder: Uuid) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Begins a run. A `request_id` that any method of user 0 used for something else is [`Begun::Reused`], with the name
    /// of the first field that differs.
    fn create_run<'a>(&'a self, new: &'a NewRun) -> BoxFuture<'a, Result<Begun, StoreError>>;

    /// One run.
    fn run(&self, id: i64) -> BoxFuture<'_, Result<Option<Run>, StoreError>>;

    /// Runs newest first.
    fn list_runs(&self, page: super::Page) -> BoxFuture<'_, Result<Vec<Run>, StoreError>>;

    /// The runs that this actor began, newest first.
    fn runs_of<'a>(
        &'a self,
        actor: &'a str,
        page: super::Page,
    ) -> BoxFuture<'a, Result<Vec<Outline>, StoreError>>;

    /// Runs that are not over, oldest first.
    fn unfinished_runs(&self) -> BoxFuture<'_, Result<Vec<Run>, StoreError>>;

    /// Takes a run up as it was read; `None` where anybody did since, or it is over. It may be taken up again after so
    /// many microseconds, if nothing else is told by then. Where another run was taken up since this one was, or this is
    /// the first time, a new [`Run::pass`] begins and each of the run's fetches stands at its beginning; pages that could
    /// not be read are kept. A run that has been judged keeps its pass.
    fn take_up<'a>(&'a self, run: &'a Run, again: i64) -> BoxFuture<'a, Result<Option<Turn>, StoreError>>;

    /// Gives a turn back: the run may be taken up again after so many microseconds. Where it does not count, the run is no
    /// nearer to being given up.
    fn set_aside(&self, turn: Turn, again: i64, counts: bool) -> BoxFuture<'_, Result<(), WriteError>>;

    /// Ends a run as failed, as it was read, for a reason; nothing where anybody took it up since, or it is over. Whoever
    /// works at it has lost it; whoever works at another one has not.
    fn end_run<'a>(&'a self, run: &'a Run, why: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Changes a run.
    fn update_run<'a>(&'a self, turn: Turn, change: &'a RunChange) -> BoxFuture<'a, Result<(), WriteError>>;

    /// The days and models of a run's report, as [`RunChange::detail`] told them; empty before it is judged.
    fn detail(&self, run_id: i64) -> BoxFuture<'_, Result<Option<Text>, StoreError>>;

    /// How far a run has fetched.
    fn fetches(&self, run_id: i64) -> BoxFuture<'_, Result<Vec<FetchRow>, StoreError>>;

    /// Stores a page: its events, each new or seen again, and how far the fetch is, in one commit (a page of more than
    /// 2,000 events in several, the last of which tells of it). The page is the one that [`FetchRow::pages`] counts last:
    /// stored again, it is the same page. Of events that say the same in the same microsecond each is kept.
    fn save_fetch<'a>(
        &'a self,
        turn: Turn,
        fetch: &'a FetchRow,
        events: &'a [EventRow],
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// One snapshot of what a run judges, as of now.
    fn evidence<'a>(&'a self, extent: &'a Extent) -> BoxFuture<'a, Result<Box<dyn Evidence>, StoreError>>;

    /// Forgets what a run found so far, and its counts: it judges anew. What it wrote to tasks stays.
    fn clear_results(&self, turn: Turn) -> BoxFuture<'_, Result<(), WriteError>>;

    /// Adds findings, numbered from `first`.
    fn add_findings<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        findings: &'a [audit::Finding],
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Adds rows of the report: layer 1, 2 or 3, numbered from `first`, each as JSON.
    fn add_rows<'a>(
        &'a self,
        turn: Turn,
        layer: i16,
        first: i64,
        rows: &'a [String],
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Adds planned costs, numbered from `first`.
    fn add_costs<'a>(
        &'a self,
        turn: Turn,
        first: i64,
        costs: &'a [audit::CostChange],
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Writes the next planned costs after `after` to their tasks, at most `limit` (1 to 2,000): where a task still has
    /// the cost the plan started from, its billed cost alone changes. Of a chunk that wrote any, the audit log has a line
    /// and the run the count. One that was written before is not written again. On PostgreSQL the users of the chunk are
    /// locked as a batch locks its own: their charges wait for it.
    fn apply_costs(&self, turn: Turn, after: i64, limit: u32) -> BoxFuture<'_, Result<Applied, WriteError>>;

    /// Findings, gravest first.
    fn findings<'a>(
        &'a self,
        query: &'a FindingQuery,
        after: Option<(i16, &'a str, i64)>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<FindingRow>, StoreError>>;

    /// Rows of the report by (layer, number), after the place given.
    fn rows(
        &self,
        run_id: i64,
        after: (i16, i64),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<ReportRow>, StoreError>>;
}

/// What a run judges, as of one moment, stream by stream, each in the order `audit` asks for. Each call answers the
/// next rows, at most `limit`; an empty answer is the end.
pub trait Evidence: Send {
    /// Every account there is or was, with every key id that was ever leased of it, its workspace, and the balance that
    /// is known, of the time when the audit log has its last change (else of the account's own beginning); `fetch` ([`audit::Fetch::NotAsked`]), `selected` (false) and `usage` are the run's to
    /// fill in.
    fn accounts(&mut self) -> BoxFuture<'_, Result<Vec<audit::Account>, StoreError>>;

    /// The tasks of the [`Extent`], and any other that one of its events names, by [`audit::Task::sort_key`], bytewise.
    fn tasks(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::Task>, StoreError>>;

    /// Events by request id, bytewise. One whose cost fal does not say is left out, and counted.
    fn events(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::Event>, StoreError>>;

    /// How many events had no cost.
    fn unpriced(&mut self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// What the ledgers say of the tasks created in the period, by user.
    fn user_tasks(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<audit::UserTasks>, StoreError>>;

    /// What the ledgers say of each quarter of an hour from `start` to `end` (time zones differ by whole quarters), by
    /// user and time; the day is the caller's to tell. Quarters without movement are left out. Another range begins anew.
    fn user_quarters(
        &mut self,
        range: (Micros, Micros),
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Quarter>, StoreError>>;

    /// How many tasks and events there are, roughly: for a progress bar.
    fn estimate(&mut self) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// What a user's ledger says of a quarter of an hour, in points of both purses, as positive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as audit::UserDay")]
pub struct Quarter {
    pub user_id: UserId,
    /// When it begins.
    pub start: Micros,
    pub consumed: i64,
    pub refunded: i64,
    pub credited: i64,
}
