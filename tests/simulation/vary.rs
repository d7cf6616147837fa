//! Variations: a call under the same keys with other content, and what runners report.

use scrip::keypool::Command as Keys;
use scrip::ledger::command::{Authorize, Capture, Charge, Credit, Debit, Refund, Void};
use scrip::ledger::{Command, LeaseOutcome, Report};

use crate::accounts::changed_account;
use crate::chance::Chance;
use crate::commands::{AsCommand, text};
use crate::history::{Asked, Call};
use crate::script::S;

/// The same keys, other content; `job` is a name that was not used before.
pub(crate) fn changed(mut call: Call, job: &str, chance: &mut Chance) -> Call {
    match &mut call.asked {
        Asked::Ledger(command) => match command {
            Command::Charge(charge) if chance.is(20) => {
                return Call::ledger(call.user, call.request_id, authorize_of(charge));
            }
            Command::Charge(charge) => charge.amount += chance.between(1, 3),
            Command::Authorize(hold) => hold.charge.amount += chance.between(1, 3),
            Command::Capture(Capture { amount, .. }) => *amount += 1,
            Command::Void(Void { reason, .. }) => *reason = text("another"),
            Command::Refund(Refund { amount: Some(amount), .. }) => *amount += 1,
            Command::Refund(Refund { reason, .. }) => *reason = text("another"),
            Command::Credit(Credit { amount, .. }) | Command::Debit(Debit { amount, .. }) => *amount += 1,
            Command::SelectKey(select) => select.selection.runner_id = text("another runner"),
            Command::StartTask(start) => start.online_task_id = text(job),
            Command::CompleteTask(complete) => complete.cost_nano_usd = Some(chance.between(6, 9)),
            Command::FailTask(fail) => fail.error = text("another error"),
            Command::NoteAttempt(_) | Command::ExpireHold(_) => {}
        },
        Asked::Keys(command) => match command {
            Keys::Release { report: said, .. } => *said = report(chance),
            Keys::Renew { ttl_micros, .. } => *ttl_micros = Some(chance.between(1, 30 * S)),
            Keys::Update { changes, .. } => *changes = changed_account(chance),
            Keys::Delete { reason, .. } => *reason = text("another"),
            Keys::Create(new) => new.max_concurrency += 1,
            Keys::Expire { .. } | Keys::HearBalance { .. } | Keys::Reseal(_) => {}
        },
    }
    call
}

fn authorize_of(charge: &Charge) -> Command {
    let charge = Charge { amount: charge.amount.max(1), ..charge.clone() };
    Authorize { charge, ttl_micros: Some(10 * S) }.command()
}

/// What fal answers: mostly well.
pub(crate) fn report(chance: &mut Chance) -> Report {
    let outcomes = [
        None,
        Some(LeaseOutcome::Succeeded),
        Some(LeaseOutcome::Succeeded),
        Some(LeaseOutcome::UpstreamError),
        Some(LeaseOutcome::RunnerCanceled),
    ];
    let statuses = [
        None,
        None,
        None,
        Some(200),
        Some(200),
        Some(200),
        Some(422),
        Some(429),
        Some(401),
        Some(403),
        Some(503),
    ];
    Report {
        outcome: chance.of(&outcomes),
        http_status: chance.of(&statuses),
        error_message: text(chance.of(&["", "", "User is locked", "overloaded"])),
        retry_after_micros: chance.is(20).then_some(3 * S),
        latency_micros: chance.is(50).then(|| chance.between(0, 20 * S)),
    }
}
