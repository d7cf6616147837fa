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
mod posting;
mod refund;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::state::State;
use super::{
    Batch, Command, Entry, EntryRange, Frozen, Plan, Rejection, RequestRecord, Snapshot, Submission, Task,
    Text, User, UserId, Work,
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

/// Decides `work` in order. Pure: the same snapshot and work give the same decision.
pub fn decide<'a>(snapshot: Snapshot, work: impl IntoIterator<Item = &'a Work>) -> Decision {
    let mut state = State::new(snapshot);
    let outcomes = work
        .into_iter()
        .map(|work| match work {
            Work::One(submission) => vec![item(&mut state, submission)],
            Work::Batch(batch) if batch.atomic => atomic(&mut state, batch),
            Work::Batch(batch) => independent(&mut state, batch),
        })
        .collect();
    Decision { plan: state.into_plan(), outcomes }
}

fn independent(state: &mut State, batch: &Batch) -> Vec<Outcome> {
    batch.items.iter().map(|submission| item(state, submission.as_ref().map_err(Clone::clone)?)).collect()
}

fn atomic(state: &mut State, batch: &Batch) -> Vec<Outcome> {
    let savepoint = state.begin();
    let outcomes = independent(state, batch);
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
    replayed: bool,
    late: bool,
}

impl Effect {
    fn new(task: Option<Arc<Task>>, user: User, entries: Vec<Arc<Entry>>) -> Self {
        Self { task, user, entries, earlier_entries: None, replayed: false, late: false }
    }

    /// A repeat that needs no record to be recognised: the task itself tells.
    fn replay(task: Arc<Task>, user: User, earlier_entries: Option<EntryRange>) -> Self {
        Self { task: Some(task), user, entries: Vec::new(), earlier_entries, replayed: true, late: false }
    }

    fn entry_range(&self) -> Option<EntryRange> {
        posting::range_of(&self.entries).or(self.earlier_entries)
    }
}

/// What every command sees besides its own fields.
struct Context<'a> {
    submission: &'a Submission,
}

impl Context<'_> {
    fn request_id(&self) -> Option<&Text> {
        self.submission.request_id.as_ref()
    }

    fn actor(&self) -> &Text {
        &self.submission.actor
    }
}

fn item(state: &mut State, submission: &Submission) -> Outcome {
    let user_id = submission.command.user_id();
    let earlier = submission.request_id.as_ref().and_then(|request_id| state.request(user_id, request_id));
    if let Some(record) = earlier {
        return replay(state, record, submission);
    }
    match run(state, submission) {
        Ok(effect) => {
            let frozen = Frozen::Done { entries: effect.entry_range(), late: effect.late };
            record(state, submission, frozen);
            let Effect { task, user, entries, earlier_entries, replayed, late } = effect;
            Ok(Done { task, entries, earlier_entries, user, replayed, late })
        }
        Err(rejection) => {
            if let Some(refusal) = rejection.freeze() {
                record(state, submission, Frozen::Refused(refusal));
            }
            Err(rejection)
        }
    }
}

fn run(state: &mut State, submission: &Submission) -> Result<Effect, Rejection> {
    let context = Context { submission };
    match &submission.command {
        Command::Charge(command) => charge::charge(state, &context, command),
        Command::Authorize(command) => hold::authorize(state, &context, command),
        Command::Capture(command) => hold::capture(state, &context, command),
        Command::Void(command) => hold::void(state, command),
        Command::ExpireHold(command) => hold::expire(state, command),
        Command::Refund(command) => refund::refund(state, &context, command),
        Command::Credit(command) => credit::credit(state, &context, command),
        Command::Debit(command) => credit::debit(state, &context, command),
        Command::StartTask(command) => settle::start(state, command),
        Command::CompleteTask(command) => settle::complete(state, &context, command),
        Command::FailTask(command) => settle::fail(state, &context, command),
    }
}

/// A `request_id` that was used before: the same content is answered as then, with the balance and task of now.
fn replay(state: &State, record: &RequestRecord, submission: &Submission) -> Outcome {
    let reused =
        |field| Err(Rejection::RequestIdReused { request_id: Arc::clone(&record.request_id), field });
    if record.method != submission.command.method() {
        return reused("method");
    }
    if record.task_id.as_ref() != submission.command.task_id() {
        return reused("task_id");
    }
    if let Some(field) = record.fingerprint.first_difference(&submission.fingerprint) {
        return reused(field);
    }
    match &record.frozen {
        Frozen::Refused(refusal) => Err(refusal.thaw(record.task_id.as_ref())),
        &Frozen::Done { entries, late } => Ok(Done {
            task: record.task_id.as_ref().and_then(|task_id| state.task(task_id)).cloned(),
            entries: Vec::new(),
            earlier_entries: entries,
            user: state.user(record.user_id).ok_or(Rejection::UserNotFound(record.user_id))?,
            replayed: true,
            late,
        }),
    }
}

fn record(state: &mut State, submission: &Submission, frozen: Frozen) {
    let Some(request_id) = &submission.request_id else { return };
    state.record(RequestRecord {
        user_id: submission.command.user_id(),
        request_id: Arc::clone(request_id),
        method: submission.command.method(),
        task_id: submission.command.task_id().cloned(),
        fingerprint: submission.fingerprint.clone(),
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
