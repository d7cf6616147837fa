//! The way into the engine: cheap to clone, and all that handlers see of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::answer::{Answer, Answers};
use super::error::logged;
use super::queue::Sender;
use super::reads::Balances;
use super::routing::{Item, Lanes, Part};
use super::waiting::WaitingRoom;
use super::work::Asked;
use super::{EngineError, Options};
use crate::clock::Ids;
use crate::ledger::{Batch, Command, Entry, Limits, Micros, Rejection, Submission, Text, User, UserId, Work};
use crate::store::{
    EntryQuery, FinancialQuery, FinancialTransaction, Page, PastBalance, PointsDetail, PointsQuery, Reader,
    StoreError, TaskQuery, TaskRecord, UserCursor,
};

/// How long a list or look-up waits for its turn.
const READ_TURN: Duration = Duration::from_millis(500);

/// What commands go through before they are queued.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) waiting: WaitingRoom,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) options: Arc<Options>,
}

/// The way into a running engine.
#[derive(Clone)]
pub struct Handle {
    pub(super) lanes: Lanes,
    balances: Balances,
    /// One permit for each list or look-up that may read now. The lanes' own reads, balances and the probe take none:
    /// however much is listed, they find a connection.
    turns: Arc<Semaphore>,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) way: Way,
    store_up: watch::Receiver<bool>,
}

impl Handle {
    pub(super) fn new(
        lanes: Vec<Sender>,
        balances: Balances,
        reader: Arc<dyn Reader>,
        way: Way,
        store_up: watch::Receiver<bool>,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(way.options.reads.max(1)));
        Self { lanes: Lanes::new(lanes), balances, turns, reader, way, store_up }
    }

    /// The limits commands are held to.
    pub fn limits(&self) -> &Limits {
        &self.way.options.limits
    }

    /// Whether the database answered when it was last asked; changes are signalled.
    pub fn store_up(&self) -> watch::Receiver<bool> {
        self.store_up.clone()
    }

    /// Checks a command against the limits; what passes can be submitted in a batch.
    ///
    /// # Errors
    /// The fields that are wrong, or the missing `request_id`.
    pub fn check(&self, command: Command, request_id: &str, actor: &Text) -> Result<Submission, Rejection> {
        Submission::new(command, request_id, actor, &self.way.options.limits)
    }

    /// Has one command decided and stored. Dropping this future does not take it back.
    ///
    /// # Errors
    /// See [`EngineError`]; after anything but a refusal a retry with the same keys is safe.
    pub async fn submit(
        &self,
        command: Command,
        request_id: &str,
        actor: &Text,
        deadline: Option<Instant>,
    ) -> Result<Answer, EngineError> {
        let submission = self.check(command, request_id, actor)?;
        self.submit_one(submission, deadline).await
    }

    pub(super) async fn submit_one(
        &self,
        submission: Submission,
        deadline: Option<Instant>,
    ) -> Result<Answer, EngineError> {
        let lane = self.lanes.of(&submission);
        match lane.submit(Asked::Ledger(Work::One(submission)), deadline).await? {
            Answers::Ledger(mut answers) => Ok(answers.pop().ok_or(EngineError::Internal)??),
            Answers::Keys(_) => Err(EngineError::Internal),
        }
    }

    /// Has a batch decided and stored: in one commit where it is atomic, else each user's items in their order. An item
    /// that was malformed is refused in its place.
    ///
    /// # Errors
    /// See [`EngineError`]; the refusals of single items are in the answer. Items of other users may be done
    /// nevertheless where it is not atomic: a retry with the same keys is safe.
    pub async fn submit_batch(
        &self,
        items: Vec<Result<Submission, Rejection>>,
        atomic: bool,
        deadline: Option<Instant>,
    ) -> Result<Vec<Result<Answer, Rejection>>, EngineError> {
        let max = self.way.options.limits.max_batch_items;
        if items.len() > max {
            let many = format!("must not be more than {max} items, are {}", items.len());
            return Err(Rejection::field("requests", many).into());
        }
        let items: Vec<Item> = items.into_iter().map(|item| item.and_then(without_key)).collect();
        if items.iter().all(Result::is_err) {
            // Nothing to decide: an empty batch, or malformed items alone.
            return Ok(items.into_iter().filter_map(Result::err).map(Err).collect());
        }
        let count = items.len();
        let parts = self.lanes.part(atomic, items).into_iter();
        let parts = parts.map(|part| self.submit_part(part, atomic, deadline));
        let mut answers: Vec<(usize, Result<Answer, Rejection>)> = Vec::with_capacity(count);
        for part in futures::future::join_all(parts).await {
            answers.extend(part?);
        }
        if answers.len() != count {
            return Err(EngineError::Internal);
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn submit_part(
        &self,
        part: Part,
        atomic: bool,
        deadline: Option<Instant>,
    ) -> Result<impl Iterator<Item = (usize, Result<Answer, Rejection>)>, EngineError> {
        let Part { lane, places, items } = part;
        let asked = Asked::Ledger(Work::Batch(Batch { atomic, items }));
        match self.lanes.get(lane).submit(asked, deadline).await? {
            Answers::Ledger(answers) => Ok(places.into_iter().zip(answers)),
            Answers::Keys(_) => Err(EngineError::Internal),
        }
    }

    /// A user's figures now; `None` if there is no such user. Concurrent calls share a statement.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`], [`EngineError::StoreUnavailable`] or [`EngineError::ShuttingDown`].
    pub async fn balance(&self, user_id: UserId) -> Result<Option<User>, EngineError> {
        self.balances.user(user_id).await
    }

    /// A user's purses at a past moment; `None` if there is no such user.
    ///
    /// # Errors
    /// A refusal of `as_of_time` for a moment still to come; otherwise as [`Handle::list_entries`].
    pub async fn balance_at(&self, user_id: UserId, at: Micros) -> Result<Option<PastBalance>, EngineError> {
        if at > self.now().await? {
            return Err(Rejection::field("as_of_time", "must not lie in the future").into());
        }
        self.read(self.reader.past_balance(user_id, at)).await
    }

    /// Entries, newest first.
    ///
    /// # Errors
    /// [`EngineError::StoreUnavailable`] or [`EngineError::Overloaded`], like every read below.
    pub async fn list_entries(&self, query: &EntryQuery, page: Page) -> Result<Vec<Entry>, EngineError> {
        self.read(self.reader.list_entries(query, page)).await
    }

    /// Points rows, newest first, each beside its place in the list.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn list_points_details(
        &self,
        query: &PointsQuery,
        page: Page,
    ) -> Result<Vec<(i64, PointsDetail)>, EngineError> {
        self.read(self.reader.list_points_details(query, page)).await
    }

    /// Financial rows, newest first, each beside its place in the list.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn list_financial_transactions(
        &self,
        query: &FinancialQuery,
        page: Page,
    ) -> Result<Vec<(i64, FinancialTransaction)>, EngineError> {
        self.read(self.reader.list_financial_transactions(query, page)).await
    }

    /// Users, newest first.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn list_users(&self, before: Option<UserCursor>, limit: u32) -> Result<Vec<User>, EngineError> {
        self.read(self.reader.list_users(before, limit)).await
    }

    /// One task with its JSON.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn task(&self, task_id: &str) -> Result<Option<TaskRecord>, EngineError> {
        self.read(self.reader.task(task_id)).await
    }

    /// Whose a task is; `None` if there is no such task. A task never changes hands.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn task_owner(&self, task_id: &Text) -> Result<Option<UserId>, EngineError> {
        let owners = self.read(self.reader.task_owners(std::slice::from_ref(task_id))).await?;
        Ok(owners.first().map(|owner| owner.user_id))
    }

    /// Whose the task of a lease is; `None` if there is no such lease.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn lease_owner(&self, lease_id: &Text) -> Result<Option<UserId>, EngineError> {
        let leases = self.read(self.reader.leases(std::slice::from_ref(lease_id))).await?;
        match leases.first() {
            Some(found) => self.task_owner(&found.lease.task_id).await,
            None => Ok(None),
        }
    }

    /// Tasks, newest first.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn list_tasks(&self, query: &TaskQuery, page: Page) -> Result<Vec<TaskRecord>, EngineError> {
        self.read(self.reader.list_tasks(query, page)).await
    }

    /// Charged tasks nobody settled, created before `created_before`, oldest first.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn stuck_tasks(
        &self,
        created_before: Micros,
        after: i64,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, EngineError> {
        self.read(self.reader.stuck_tasks(created_before, after, limit)).await
    }

    /// The moment by the clock that judges.
    #[allow(clippy::missing_errors_doc, reason = "as list_entries")]
    pub async fn now(&self) -> Result<Micros, EngineError> {
        self.reader.now().await.map_err(|error| logged(&error))
    }

    pub(super) async fn due_holds(&self, limit: u32) -> Result<Vec<(UserId, Text)>, EngineError> {
        self.reader.due_holds(limit).await.map_err(|error| {
            // The probe says aloud that the database is gone; the sweep does not repeat it twice a second.
            tracing::debug!(%error, "the sweep could not look for expired holds");
            EngineError::of_store(&error)
        })
    }

    /// Reads when it is this call's turn. What lists take longer for than callers can wait is told as such, and not as
    /// a database that is away.
    pub(super) async fn read<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, EngineError> {
        let Ok(Ok(_turn)) = tokio::time::timeout(READ_TURN, self.turns.acquire()).await else {
            let is_up = *self.store_up.borrow();
            return Err(if is_up {
                EngineError::Overloaded { retry_after: READ_TURN }
            } else {
                EngineError::StoreUnavailable
            });
        };
        answer.await.map_err(|error| logged(&error))
    }
}

/// Refuses a key for an item of a batch: one that finds none would be decided again, and the batch with it.
fn without_key(submission: Submission) -> Result<Submission, Rejection> {
    match submission.command.selection() {
        Some(_) => Err(Rejection::field("select_key", "must not be set in a batch: charge the task alone")),
        None => Ok(submission),
    }
}
