//! Commands with everything a test does not speak of at its default. Whoever includes it by `#[path]` has a module
//! named `ledger` beside it.

use super::ledger::command::{
    Authorize, Capture, Charge, Command, CompleteTask, Credit, Debit, ExpireHold, FailTask, NoteAttempt,
    Refund, SelectKey, StartTask, Void,
};
use super::ledger::{
    Funding, KeySelection, Limits, Purse, Rejection, SourceType, Submission, Text, UserId, Work,
};

/// The user of every command that does not say otherwise.
pub const USER: UserId = 7;

/// Who asks.
pub const ACTOR: &str = "tests";

/// Whatever can be submitted: a command, or one command's fields.
pub trait AsCommand {
    /// The command.
    fn command(self) -> Command;
}

impl AsCommand for Command {
    fn command(self) -> Command {
        self
    }
}

macro_rules! as_command {
    ($($name:ident),+) => {
        $(impl AsCommand for $name {
            fn command(self) -> Command {
                Command::$name(self)
            }
        })+
    };
}
as_command!(
    Charge,
    Authorize,
    Capture,
    Void,
    Refund,
    Credit,
    Debit,
    SelectKey,
    StartTask,
    CompleteTask,
    FailTask,
    NoteAttempt,
    ExpireHold
);

/// Text of the ledger's own kind.
pub fn text(value: &str) -> Text {
    Text::from(value)
}

/// Checks a command under the default limits; an empty `request_id` is none.
pub fn submission(request_id: &str, command: impl AsCommand) -> Result<Submission, Rejection> {
    Submission::new(command.command(), request_id, &text(ACTOR), &Limits::default())
}

/// One command as the engine queues it.
#[track_caller]
pub fn one(request_id: &str, command: impl AsCommand) -> Work {
    Work::One(submission(request_id, command).expect("a well-formed command"))
}

/// A charge of [`USER`].
pub fn charge(task_id: &str, amount: i64) -> Charge {
    Charge {
        user_id: USER,
        task_id: text(task_id),
        amount,
        app_name: text("fal-ai/flux/dev"),
        task_type: text("image"),
        title: text(""),
        input_params: text(r#"{"prompt":"a cat"}"#),
        funding: Funding::PointsThenCash,
        deployment_uuid: text("deployment-1"),
        pay_type: 2,
        select_key: None,
    }
}

/// A hold of [`USER`], of the default length.
pub fn authorize(task_id: &str, amount: i64) -> Authorize {
    Authorize { charge: charge(task_id, amount), ttl_micros: None }
}

/// Takes part of a hold of [`USER`].
pub fn capture(task_id: &str, amount: i64) -> Capture {
    Capture { user_id: USER, task_id: text(task_id), amount }
}

/// Releases a hold of [`USER`].
pub fn void(task_id: &str) -> Void {
    Void { user_id: USER, task_id: text(task_id), reason: text("") }
}

/// The engine's expiry of a hold of [`USER`].
pub fn expire(task_id: &str) -> ExpireHold {
    ExpireHold { user_id: USER, task_id: text(task_id) }
}

/// Refunds all that is left of a task of [`USER`].
pub fn refund_all(task_id: &str) -> Refund {
    Refund { user_id: USER, task_id: text(task_id), amount: None, reason: text("") }
}

/// Refunds part of a task of [`USER`]; it needs a request id.
pub fn refund(task_id: &str, amount: i64) -> Refund {
    Refund { amount: Some(amount), ..refund_all(task_id) }
}

/// Credits [`USER`]; it needs a request id. Cash is agent revenue, points are bought.
pub fn credit(purse: Purse, amount: i64) -> Credit {
    let source_type = if purse.is_cash() { SourceType::AgentRevenue } else { SourceType::Recharge };
    Credit {
        user_id: USER,
        amount,
        purse,
        source_type,
        order_id: text("order-1"),
        title: text(""),
        pay_type: 1,
    }
}

/// Debits [`USER`]; it needs a request id.
pub fn debit(amount: i64) -> Debit {
    Debit {
        user_id: USER,
        amount,
        funding: Funding::PointsThenCash,
        order_id: text("order-9"),
        title: text(""),
    }
}

/// A runner starts a task of [`USER`].
pub fn start(task_id: &str, online_task_id: &str) -> StartTask {
    StartTask {
        user_id: USER,
        task_id: text(task_id),
        online_task_id: text(online_task_id),
        key_id: text("key-1"),
        lease_id: text(""),
    }
}

/// A task of [`USER`] ended well.
pub fn complete(task_id: &str) -> CompleteTask {
    CompleteTask {
        user_id: USER,
        task_id: text(task_id),
        online_task_id: text(""),
        output_params: text(r#"{"url":"x"}"#),
        cost_nano_usd: Some(90_240_000),
        billable_units: text("8.44"),
        capture_amount: None,
        lease_id: text(""),
    }
}

/// A task of [`USER`] ended badly.
pub fn fail(task_id: &str) -> FailTask {
    FailTask {
        user_id: USER,
        task_id: text(task_id),
        online_task_id: text(""),
        error: text("upstream said no"),
        no_refund: false,
        lease_id: text(""),
        report: Box::default(),
    }
}

/// What is asked of the key pool; `lease_id` is the engine's to make.
pub fn selection(runner_id: &str, lease_id: &str) -> KeySelection {
    KeySelection { runner_id: text(runner_id), lease_id: text(lease_id), ..KeySelection::default() }
}

/// A key for a task of [`USER`].
pub fn select(task_id: &str, runner_id: &str, lease_id: &str) -> SelectKey {
    SelectKey {
        user_id: USER,
        task_id: text(task_id),
        app_name: text(""),
        selection: selection(runner_id, lease_id),
    }
}

/// The engine's record of a job of [`USER`] whose key was given back.
pub fn note(task_id: &str, online_task_id: &str, key_id: &str, lease_id: &str) -> NoteAttempt {
    NoteAttempt {
        user_id: USER,
        task_id: text(task_id),
        online_task_id: text(online_task_id),
        key_id: text(key_id),
        lease_id: text(lease_id),
    }
}

/// The same command of another user.
pub fn of_user(user_id: UserId, command: impl AsCommand) -> Command {
    let mut command = command.command();
    command.resolve(user_id);
    command
}
