//! Decides a batch: each item in order, against the snapshot and what the items before it did.
//!
//! The ladder of one item, in this order, always:
//!
//! 1. its `request_id`: a record that matches is answered as it was then, one that differs is refused;
//! 2. its task: a repeat is a replay, other content a conflict, a wrong state a refusal;
//! 3. its money: what the purses, the hold or the charge allow;
//! 4. only then is anything written to the working state, all of it.
//!
//! So a refused item leaves no trace but its frozen outcome, and disturbs no neighbour.

mod charge;
mod credit;
mod hold;
mod keys;
mod posting;
mod refund;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::state::State;
use super::{
    Batch, Claim, Command, Entry, EntryRange, Frozen, Keys, Micros, NoKeys, Plan, Rejection, RequestRecord,
    Snapshot, Submission, Task, Text, User, UserId, Work,
};

/// A command that was done, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The task as it is now, for commands that name one.
    pub task: Option<Arc<Task>>,
    /// The entries this command wrote.
    pub entries: Vec<Arc<Entry>>,
    /// For a replay: the entries the original wrote, to be read from the ledger.
    pub earlier_entries: Option<EntryRange>,
    /// The user's figures as they are now.
    pub user: User,
    /// The lease it gave, now or before.
    pub lease_id: Option<Text>,
    /// It had been done before; nothing was done now.
    pub replayed: bool,
    /// It came too late to change its task; what was missing has been recorded.
    pub late: bool,
}

/// What came of one item.
pub type Outcome = Result<Done, Rejection>;

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to write.
    pub plan: Plan,
    /// The outcomes of each [`Work`], in order, each with one outcome an item.
    pub outcomes: Vec<Vec<Outcome>>,
}

/// Decides `work` in order, without keys. Pure: the same snapshot and work give the same decision.
pub fn decide<'a>(snapshot: Snapshot, work: impl IntoIterator<Item = &'a Work>) -> Decision {
    let mut decider = Decider::new(snapshot);
    let outcomes = work.into_iter().map(|work| decider.work(work, &mut NoKeys)).collect();
    Decision { plan: decider.into_plan(), outcomes }
}

/// A batch being decided: the snapshot, and what its items have done so far.
pub struct Decider {
    state: State,
}

impl Decider {
    /// Starts from the rows of the batch.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { state: State::new(snapshot) }
    }

    /// The batch's one moment.
    pub const fn now(&self) -> Micros {
        self.state.now
    }

    /// Decides the next work, and answers each of its items; what it asks of the key pool goes to `keys`.
    pub fn work(&mut self, work: &Work, keys: &mut dyn Keys) -> Vec<Outcome> {
        match work {
            Work::One(submission) => vec![item(&mut self.state, submission, keys)],
            Work::Batch(batch) if batch.atomic => atomic(&mut self.state, batch, keys),
            Work::Batch(batch) => independent(&mut self.state, batch, keys),
        }
    }

    /// Whether a request that is none of the ledger's own was done before.
    ///
    /// # Errors
    /// REQUEST_ID_REUSED, if the id was used for something else.
    pub fn is_repeat(&self, claim: &Claim<'_>) -> Result<bool, Rejection> {
        let earlier = self.state.request(claim.user_id, claim.request_id);
        earlier.map_or(Ok(false), |record| same(record, claim).map(|()| true))
    }

    /// Records that such a request was done.
    pub fn record_done(&mut self, claim: &Claim<'_>) {
        record(&mut self.state, claim, Frozen::Done { entries: None, late: false, lease_id: None });
    }

    /// What is to be written.
    pub fn into_plan(self) -> Plan {
        self.state.into_plan()
    }
}

fn independent(state: &mut State, batch: &Batch, keys: &mut dyn Keys) -> Vec<Outcome> {
    let decide = |submission: &Result<Submission, Rejection>| {
        item(state, submission.as_ref().map_err(Clone::clone)?, keys)
    };
    batch.items.iter().map(decide).collect()
}

fn atomic(state: &mut State, batch: &Batch, keys: &mut dyn Keys) -> Vec<Outcome> {
    let savepoint = state.begin();
    let outcomes = independent(state, batch, keys);
    let Some(index) = outcomes.iter().position(Result::is_err) else {
        state.keep();
        return outcomes;
    };
    state.undo(&savepoint);
    outcomes.into_iter().map(|outcome| outcome.and(Err(Rejection::BatchAborted { index }))).collect()
}

/// What a command did, before its idempotency record is written.
struct Effect {
    task: Option<Arc<Task>>,
    user: User,
    entries: Vec<Arc<Entry>>,
    earlier_entries: Option<EntryRange>,
    lease_id: Option<Text>,
    replayed: bool,
    late: bool,
}

impl Effect {
    fn new(task: Option<Arc<Task>>, user: User, entries: Vec<Arc<Entry>>) -> Self {
        Self { task, user, entries, earlier_entries: None, lease_id: None, replayed: false, late: false }
    }

    /// A repeat that needs no record to be recognised: the task itself tells.
    fn replay(task: Arc<Task>, user: User, earlier_entries: Option<EntryRange>) -> Self {
        let (task, entries) = (Some(task), Vec::new());
        Self { task, user, entries, earlier_entries, lease_id: None, replayed: true, late: false }
    }
}

/// What every command sees besides its own fields.
struct Context<'a> {
    submission: &'a Submission,
    keys: &'a mut dyn Keys,
}

impl Context<'_> {
    fn request_id(&self) -> Option<&Text> {
        self.submission.request_id.as_ref()
    }

    fn actor(&self) -> &Text {
        &self.submission.actor
    }
}

fn item(state: &mut State, submission: &Submission, keys: &mut dyn Keys) -> Outcome {
    let user_id = submission.command.user_id();
    let earlier = submission.request_id.as_ref().and_then(|request_id| state.request(user_id, request_id));
    if let Some(record) = earlier {
        return replay(state, record, submission);
    }
    let mut context = Context { submission, keys };
    match run(state, &mut context) {
        Ok(effect) => {
            let Effect { task, user, entries, earlier_entries, lease_id, replayed, late } = effect;
            if let Some(claim) = claim_of(submission) {
                let written = posting::range_of(&entries).or(earlier_entries);
                record(state, &claim, Frozen::Done { entries: written, late, lease_id: lease_id.clone() });
            }
            Ok(Done { task, entries, earlier_entries, user, lease_id, replayed, late })
        }
        Err(rejection) => {
            if let (Some(claim), Some(refusal)) = (claim_of(submission), rejection.freeze()) {
                record(state, &claim, Frozen::Refused(refusal));
            }
            Err(rejection)
        }
    }
}

fn run(state: &mut State, context: &mut Context<'_>) -> Result<Effect, Rejection> {
    let submission = context.submission;
    match &submission.command {
        Command::Charge(command) => charge::charge(state, context, command),
        Command::Authorize(command) => hold::authorize(state, context, command),
        Command::Capture(command) => hold::capture(state, context, command),
        Command::Void(command) => hold::void(state, context, command),
        Command::ExpireHold(command) => hold::expire(state, context, command),
        Command::Refund(command) => refund::refund(state, context, command),
        Command::Credit(command) => credit::credit(state, context, command),
        Command::Debit(command) => credit::debit(state, context, command),
        Command::SelectKey(command) => keys::select(state, context, command),
        Command::StartTask(command) => settle::start(state, context, command),
        Command::CompleteTask(command) => settle::complete(state, context, command),
        Command::FailTask(command) => settle::fail(state, context, command),
        Command::NoteAttempt(command) => settle::note(state, command),
    }
}

/// A `request_id` that was used before: the same content is answered as then, with the balance and task of now.
fn replay(state: &State, record: &RequestRecord, submission: &Submission) -> Outcome {
    if let Some(claim) = claim_of(submission) {
        same(record, &claim)?;
    }
    match &record.frozen {
        Frozen::Refused(refusal) => Err(refusal.thaw(record.task_id.as_ref())),
        Frozen::Done { entries, late, lease_id } => Ok(Done {
            task: record.task_id.as_ref().and_then(|task_id| state.task(task_id)).cloned(),
            entries: Vec::new(),
            earlier_entries: *entries,
            user: state.user(record.user_id).ok_or(Rejection::UserNotFound(record.user_id))?,
            // Only a call that asks for a key is shown one.
            lease_id: lease_id.clone().filter(|_| submission.command.selection().is_some()),
            replayed: true,
            late: *late,
        }),
    }
}

/// Whether a record is of the same request, or what differs.
fn same(record: &RequestRecord, claim: &Claim<'_>) -> Result<(), Rejection> {
    let differing = if record.method != claim.method {
        Some("method")
    } else if record.task_id.as_ref() != claim.task_id {
        Some("task_id")
    } else {
        record.fingerprint.first_difference(claim.fingerprint)
    };
    differing.map_or(Ok(()), |field| {
        Err(Rejection::RequestIdReused { request_id: Arc::clone(&record.request_id), field })
    })
}

fn claim_of(submission: &Submission) -> Option<Claim<'_>> {
    submission.request_id.as_ref().map(|request_id| Claim {
        user_id: submission.command.user_id(),
        request_id,
        method: submission.command.method(),
        task_id: submission.command.task_id(),
        fingerprint: &submission.fingerprint,
    })
}

fn record(state: &mut State, claim: &Claim<'_>, frozen: Frozen) {
    state.record(RequestRecord {
        user_id: claim.user_id,
        request_id: Arc::clone(claim.request_id),
        method: claim.method,
        task_id: claim.task_id.cloned(),
        fingerprint: claim.fingerprint.clone(),
        frozen,
        create_time: state.now,
    });
}

/// A task of this user, and the user: what every task-keyed command starts from.
fn own_task(state: &State, user_id: UserId, task_id: &Text) -> Result<(Task, User), Rejection> {
    let missing = || Rejection::TaskNotFound(Arc::clone(task_id));
    let task = state.task(task_id).filter(|task| task.user_id == user_id).ok_or_else(missing)?;
    let user = state.user(user_id).ok_or_else(missing)?;
    Ok((Task::clone(task), user))
}

fn conflict(task: &Task, why: &str) -> Rejection {
    Rejection::TaskStateConflict {
        task_id: Arc::clone(&task.task_id),
        status: task.status,
        why: Text::from(why),
    }
}
