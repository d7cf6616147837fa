//! The step log: what one seed does, line by line, where somebody asks to see it.

use std::sync::Mutex;

use scrip::keypool::{Command as Keys, Done};
use scrip::ledger::Command;
use tokio::time::Instant;

use crate::history::{Asked, Call, End, Told};

/// The log of one simulation.
pub(crate) struct Log {
    begun: Instant,
    /// Printed as it is written.
    printed: bool,
    /// Kept, for comparison.
    kept: Option<Mutex<Vec<String>>>,
}

impl Log {
    pub(crate) fn new(printed: bool, kept: bool) -> Self {
        Self { begun: Instant::now(), printed, kept: kept.then(Mutex::default) }
    }

    /// Writes a line, which is made only if somebody wants it.
    pub(crate) fn line(&self, line: impl FnOnce() -> String) {
        if !self.printed && self.kept.is_none() {
            return;
        }
        let line = format!("{:>9.3} s  {}", self.begun.elapsed().as_secs_f64(), line());
        if self.printed {
            println!("{line}");
        }
        if let Some(kept) = &self.kept {
            kept.lock().expect("whole").push(line);
        }
    }

    /// What was kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.kept.as_ref().map(|kept| kept.lock().expect("whole").clone()).unwrap_or_default()
    }
}

/// A call in a few words.
pub(crate) fn brief(call: &Call) -> String {
    let what = match &call.asked {
        Asked::Ledger(command) => brief_command(command),
        Asked::Keys(command) => brief_keys(command),
    };
    let user = if call.user == 0 { String::new() } else { format!(" of user {}", call.user) };
    let request =
        if call.request_id.is_empty() { String::new() } else { format!(" under {}", call.request_id) };
    format!("{what}{user}{request}")
}

fn brief_keys(command: &Keys) -> String {
    match command {
        Keys::Create(new) => {
            format!("create an account with {}, limit {}", new.key.key_id, new.max_concurrency)
        }
        Keys::Update { account_id, changes, .. } => {
            let key = changes.key.as_ref().map(|key| &key.key_id);
            let (status, limit) = (changes.status, changes.max_concurrency);
            format!("update account {account_id}: status {status:?}, limit {limit:?}, key {key:?}")
        }
        other => format!("{other:?}"),
    }
}

fn brief_command(command: &Command) -> String {
    let task = command.task_id().map(|task_id| format!(" {task_id}")).unwrap_or_default();
    let amount = match command {
        Command::Charge(charge) => Some(charge.amount),
        Command::Authorize(hold) => Some(hold.charge.amount),
        Command::Capture(capture) => Some(capture.amount),
        Command::Refund(refund) => refund.amount,
        Command::Credit(credit) => Some(credit.amount),
        Command::Debit(debit) => Some(debit.amount),
        Command::CompleteTask(complete) => complete.capture_amount,
        _ => None,
    };
    let amount = amount.map(|amount| format!(", {amount} points")).unwrap_or_default();
    let key = if command.selection().is_some() { " with a key" } else { "" };
    let lease = command.lease_id().map(|lease_id| format!(" on lease {lease_id}")).unwrap_or_default();
    format!("{}{task}{amount}{key}{lease}", command.method())
}

/// How a call ended, in a few words.
pub(crate) fn brief_end(end: &End) -> String {
    match end {
        End::Done(Told::Ledger(answer)) => {
            let how = if answer.replayed { "replayed" } else { "done" };
            let late = if answer.late { ", late" } else { "" };
            let entries: Vec<_> = answer
                .entries
                .iter()
                .map(|entry| (entry.user_seq, entry.purse.as_str(), entry.amount))
                .collect();
            let lease = answer.lease.as_ref().map(|granted| {
                format!(", lease {} of account {}", granted.lease.lease_id, granted.lease.account_id)
            });
            format!("{how}{late}, entries {entries:?}{}", lease.unwrap_or_default())
        }
        End::Done(Told::Keys(answer)) => match &answer.done {
            Done::Renewed(lease) => format!("renewed, {}", lease.lease_id),
            Done::Released(released) => {
                let how = if released.replayed { "replayed" } else { "released" };
                format!("{how}, {} as {:?}", released.lease.lease_id, released.lease.outcome)
            }
            Done::Account(described) => {
                let how = if described.replayed { "replayed" } else { "done" };
                format!("{how}, account {}", described.account.account_id)
            }
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}
