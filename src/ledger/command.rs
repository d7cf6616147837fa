//! Commands: what a caller asks of the ledger.

use super::{Funding, KeySelection, Method, Purse, Report, SourceType, Text, UserId};

/// A charge at the start of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Who pays.
    pub user_id: UserId,
    /// The caller's id of the task.
    pub task_id: Text,
    /// Points; 0 for a free task.
    pub amount: i64,
    /// The model.
    pub app_name: Text,
    /// The caller's kind of task.
    pub task_type: Text,
    /// A line for people on the entries; the model's name if empty.
    pub title: Text,
    /// The job's input, as JSON; may be empty.
    pub input_params: Text,
    /// Which purses may pay.
    pub funding: Funding,
    /// The deployment that causes it.
    pub deployment_uuid: Text,
    /// The caller's payment channel.
    pub pay_type: i32,
    /// A key to lease in the same commit; with none free, nothing is charged.
    pub select_key: Option<Box<KeySelection>>,
}

/// A hold at the start of a task: the content of a charge, and how long it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorize {
    /// What would be charged.
    pub charge: Charge,
    /// How long the hold lasts, in microseconds; `None` for the default.
    pub ttl_micros: Option<i64>,
}

/// Takes all or part of a hold; the rest is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The task's user: given by the caller or looked up by the engine.
    pub user_id: UserId,
    /// The held task.
    pub task_id: Text,
    /// Points, ≥ 1.
    pub amount: i64,
}

/// Releases a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// The task's user.
    pub user_id: UserId,
    /// The held task.
    pub task_id: Text,
    /// Why, for people.
    pub reason: Text,
}

/// Gives back all or part of what a task was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The task's user.
    pub user_id: UserId,
    /// The charged task.
    pub task_id: Text,
    /// Points, ≥ 1; `None` for all that is left.
    pub amount: Option<i64>,
    /// Why: the title of the entries.
    pub reason: Text,
}

/// Money in. Creates the user if new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Who receives it.
    pub user_id: UserId,
    /// Points, ≥ 1.
    pub amount: i64,
    /// Into which purse.
    pub purse: Purse,
    /// Why, in the seed's words.
    pub source_type: SourceType,
    /// The caller's order.
    pub order_id: Text,
    /// A line for people.
    pub title: Text,
    /// The caller's payment channel.
    pub pay_type: i32,
}

/// A withdrawal or correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debit {
    /// Whose purse.
    pub user_id: UserId,
    /// Points, ≥ 1.
    pub amount: i64,
    /// Out of which purses.
    pub funding: Funding,
    /// The caller's order.
    pub order_id: Text,
    /// A line for people.
    pub title: Text,
}

/// A key for a task that is charged or held already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectKey {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// The model; empty for the task's own.
    pub app_name: Text,
    /// Who runs it, for how long.
    pub selection: KeySelection,
}

/// A runner starts the task, or starts it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTask {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// fal's id of the attempt; may be empty where it is not yet known.
    pub online_task_id: Text,
    /// The id of the key that runs it; empty to take that of the lease.
    pub key_id: Text,
    /// The lease it runs under; may be empty.
    pub lease_id: Text,
}

/// The task ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompleteTask {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// fal's id of the attempt; empty to keep what is known.
    pub online_task_id: Text,
    /// The result, as JSON; may be empty.
    pub output_params: Text,
    /// What fal cost, in nano-USD, ≥ 0.
    pub cost_nano_usd: Option<i64>,
    /// fal's billable units, a decimal; may be empty.
    pub billable_units: Text,
    /// Points to capture of its hold, ≥ 1.
    pub capture_amount: Option<i64>,
    /// The lease to release as succeeded; may be empty.
    pub lease_id: Text,
}

/// The task ended badly; what was charged goes back unless the caller says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailTask {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// fal's id of the attempt; empty to keep what is known.
    pub online_task_id: Text,
    /// Why it failed.
    pub error: Text,
    /// Keep the charge.
    pub no_refund: bool,
    /// The lease to release; may be empty.
    pub lease_id: Text,
    /// What its account is judged by.
    pub report: Box<Report>,
}

/// The engine's own command: record fal's id of a job whose key was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteAttempt {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// fal's id of the attempt.
    pub online_task_id: Text,
    /// The id of the key that ran it.
    pub key_id: Text,
    /// The lease it ran under.
    pub lease_id: Text,
}

/// The engine's own command: release a hold whose time has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireHold {
    /// The task's user.
    pub user_id: UserId,
    /// The held task.
    pub task_id: Text,
}

/// Anything that changes what a user owns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is its struct")]
pub enum Command {
    Charge(Charge),
    Authorize(Authorize),
    Capture(Capture),
    Void(Void),
    Refund(Refund),
    Credit(Credit),
    Debit(Debit),
    SelectKey(SelectKey),
    StartTask(StartTask),
    CompleteTask(CompleteTask),
    FailTask(FailTask),
    NoteAttempt(NoteAttempt),
    ExpireHold(ExpireHold),
}

/// The user of a task-keyed command that named none; the engine looks it up before the batch.
pub const UNRESOLVED: UserId = 0;

impl Command {
    /// The method, as idempotency records name it.
    pub const fn method(&self) -> Method {
        match self {
            Command::Charge(_) => Method::Charge,
            Command::Authorize(_) => Method::Authorize,
            Command::Capture(_) => Method::Capture,
            Command::Void(_) => Method::Void,
            Command::Refund(_) => Method::Refund,
            Command::Credit(_) => Method::Credit,
            Command::Debit(_) => Method::Debit,
            Command::SelectKey(_) => Method::SelectKey,
            Command::StartTask(_) => Method::StartTask,
            Command::CompleteTask(_) => Method::CompleteTask,
            Command::FailTask(_) => Method::FailTask,
            Command::NoteAttempt(_) => Method::NoteAttempt,
            Command::ExpireHold(_) => Method::ExpireHold,
        }
    }

    /// The user whose row guards it; [`UNRESOLVED`] until the engine has looked it up.
    pub const fn user_id(&self) -> UserId {
        match self {
            Command::Charge(command) => command.user_id,
            Command::Authorize(command) => command.charge.user_id,
            Command::Capture(command) => command.user_id,
            Command::Void(command) => command.user_id,
            Command::Refund(command) => command.user_id,
            Command::Credit(command) => command.user_id,
            Command::Debit(command) => command.user_id,
            Command::SelectKey(command) => command.user_id,
            Command::StartTask(command) => command.user_id,
            Command::CompleteTask(command) => command.user_id,
            Command::FailTask(command) => command.user_id,
            Command::NoteAttempt(command) => command.user_id,
            Command::ExpireHold(command) => command.user_id,
        }
    }

    /// Names the user of a task-keyed command.
    pub fn resolve(&mut self, user: UserId) {
        let user_id = match self {
            Command::Charge(command) => &mut command.user_id,
            Command::Authorize(command) => &mut command.charge.user_id,
            Command::Capture(command) => &mut command.user_id,
            Command::Void(command) => &mut command.user_id,
            Command::Refund(command) => &mut command.user_id,
            Command::Credit(command) => &mut command.user_id,
            Command::Debit(command) => &mut command.user_id,
            Command::SelectKey(command) => &mut command.user_id,
            Command::StartTask(command) => &mut command.user_id,
            Command::CompleteTask(command) => &mut command.user_id,
            Command::FailTask(command) => &mut command.user_id,
            Command::NoteAttempt(command) => &mut command.user_id,
            Command::ExpireHold(command) => &mut command.user_id,
        };
        *user_id = user;
    }

    /// The task it names, if any.
    pub const fn task_id(&self) -> Option<&Text> {
        match self {
            Command::Charge(command) => Some(&command.task_id),
            Command::Authorize(command) => Some(&command.charge.task_id),
            Command::Capture(command) => Some(&command.task_id),
            Command::Void(command) => Some(&command.task_id),
            Command::Refund(command) => Some(&command.task_id),
            Command::SelectKey(command) => Some(&command.task_id),
            Command::StartTask(command) => Some(&command.task_id),
            Command::CompleteTask(command) => Some(&command.task_id),
            Command::FailTask(command) => Some(&command.task_id),
            Command::NoteAttempt(command) => Some(&command.task_id),
            Command::ExpireHold(command) => Some(&command.task_id),
            Command::Credit(_) | Command::Debit(_) => None,
        }
    }

    /// What it asks of the key pool, if it does.
    pub fn selection(&self) -> Option<&KeySelection> {
        match self {
            Command::Charge(command) => command.select_key.as_deref(),
            Command::Authorize(command) => command.charge.select_key.as_deref(),
            Command::SelectKey(command) => Some(&command.selection),
            Command::Capture(_)
            | Command::Void(_)
            | Command::Refund(_)
            | Command::Credit(_)
            | Command::Debit(_)
            | Command::StartTask(_)
            | Command::CompleteTask(_)
            | Command::FailTask(_)
            | Command::NoteAttempt(_)
            | Command::ExpireHold(_) => None,
        }
    }

    /// The selection, for the engine to put a lease's id in.
    pub fn selection_mut(&mut self) -> Option<&mut KeySelection> {
        match self {
            Command::Charge(command) => command.select_key.as_deref_mut(),
            Command::Authorize(command) => command.charge.select_key.as_deref_mut(),
            Command::SelectKey(command) => Some(&mut command.selection),
            Command::Capture(_)
            | Command::Void(_)
            | Command::Refund(_)
            | Command::Credit(_)
            | Command::Debit(_)
            | Command::StartTask(_)
            | Command::CompleteTask(_)
            | Command::FailTask(_)
            | Command::NoteAttempt(_)
            | Command::ExpireHold(_) => None,
        }
    }

    /// The lease it names, if any.
    pub fn lease_id(&self) -> Option<&Text> {
        let named = match self {
            Command::StartTask(command) => &command.lease_id,
            Command::CompleteTask(command) => &command.lease_id,
            Command::FailTask(command) => &command.lease_id,
            Command::Charge(_)
            | Command::Authorize(_)
            | Command::Capture(_)
            | Command::Void(_)
            | Command::Refund(_)
            | Command::Credit(_)
            | Command::Debit(_)
            | Command::SelectKey(_)
            | Command::NoteAttempt(_)
            | Command::ExpireHold(_) => return None,
        };
        (!named.is_empty()).then_some(named)
    }

    /// Roughly how many bytes it keeps in memory while it queues.
    pub fn weight_bytes(&self) -> usize {
        let text = match self {
            Command::Charge(command) => command.input_params.len(),
            Command::Authorize(command) => command.charge.input_params.len(),
            Command::CompleteTask(command) => command.output_params.len(),
            Command::FailTask(command) => {
                command.error.len().saturating_add(command.report.error_message.len())
            }
            Command::Capture(_)
            | Command::Void(_)
            | Command::Refund(_)
            | Command::Credit(_)
            | Command::Debit(_)
            | Command::SelectKey(_)
            | Command::StartTask(_)
            | Command::NoteAttempt(_)
            | Command::ExpireHold(_) => 0,
        };
        text.saturating_add(1024)
    }
}
