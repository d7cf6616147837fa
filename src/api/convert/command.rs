//! Requests that write: each becomes a command of the ledger.

use std::time::Duration;

use super::enums;
use super::time;
use crate::engine::Wait;
use crate::ledger::command::{
    Authorize, Capture, Charge, CompleteTask, Credit, Debit, FailTask, Refund, SelectKey, StartTask, Void,
};
use crate::ledger::limits::{Checks, MESSAGE_BYTES};
use crate::ledger::{Command, Funding, KeySelection, Purse, Report, SourceType, Text};
use crate::pb;

/// A request that asks for a command.
pub(in crate::api) trait Ask {
    /// The command, and the `request_id` it came with. What the wire got wrong is noted in `checks`, and a harmless
    /// value stands in its place, so that the ledger can judge the other fields.
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String);

    /// How long to wait for a key, where the command asks for one.
    fn wait(&self, _: &mut Checks<'_>) -> Wait {
        Wait::default()
    }
}

impl Ask for pb::ChargeRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        let charge = Charge {
            user_id: self.user_id,
            task_id: Text::from(self.task_id),
            amount: self.amount,
            app_name: Text::from(self.app_name),
            task_type: Text::from(self.task_type),
            title: Text::from(self.title),
            input_params: Text::from(self.input_params),
            funding: funding(self.funding, checks),
            deployment_uuid: Text::from(self.deployment_uuid),
            pay_type: self.pay_type,
            select_key: self.select_key.map(|selection| Box::new(key_selection(selection, checks))),
        };
        (Command::Charge(charge), self.request_id)
    }

    fn wait(&self, checks: &mut Checks<'_>) -> Wait {
        wait("select_key.max_wait", self.select_key.as_ref().and_then(|selection| selection.max_wait), checks)
    }
}

impl Ask for pb::AuthorizeRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        let charge = Charge {
            user_id: self.user_id,
            task_id: Text::from(self.task_id),
            amount: self.amount,
            app_name: Text::from(self.app_name),
            task_type: Text::from(self.task_type),
            title: Text::from(self.title),
            input_params: Text::from(self.input_params),
            funding: funding(self.funding, checks),
            deployment_uuid: Text::from(self.deployment_uuid),
            pay_type: self.pay_type,
            select_key: self.select_key.map(|selection| Box::new(key_selection(selection, checks))),
        };
        let ttl_micros = time::micros("ttl", self.ttl, checks);
        (Command::Authorize(Authorize { charge, ttl_micros }), self.request_id)
    }

    fn wait(&self, checks: &mut Checks<'_>) -> Wait {
        wait("select_key.max_wait", self.select_key.as_ref().and_then(|selection| selection.max_wait), checks)
    }
}

impl Ask for pb::CaptureRequest {
    fn into_command(self, _: &mut Checks<'_>) -> (Command, String) {
        let Self { request_id, task_id, amount, user_id } = self;
        (Command::Capture(Capture { user_id, task_id: Text::from(task_id), amount }), request_id)
    }
}

impl Ask for pb::VoidRequest {
    fn into_command(self, _: &mut Checks<'_>) -> (Command, String) {
        let Self { request_id, task_id, reason, user_id } = self;
        let void = Void { user_id, task_id: Text::from(task_id), reason: Text::from(reason) };
        (Command::Void(void), request_id)
    }
}

impl Ask for pb::RefundRequest {
    fn into_command(self, _: &mut Checks<'_>) -> (Command, String) {
        let Self { request_id, task_id, amount, reason, user_id } = self;
        let refund = Refund { user_id, task_id: Text::from(task_id), amount, reason: Text::from(reason) };
        (Command::Refund(refund), request_id)
    }
}

impl Ask for pb::CreditRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        if self.purse == 0 {
            checks.violation("purse", "must be given: PURSE_POINTS or PURSE_CASH");
        }
        let credit = Credit {
            user_id: self.user_id,
            amount: self.amount,
            // Cash, which may have any source, where the purse is not known.
            purse: enums::read::<pb::Purse>("purse", self.purse, checks).unwrap_or(Purse::Cash),
            source_type: enums::read::<pb::SourceType>("source_type", self.source_type, checks)
                .unwrap_or(SourceType::Recharge),
            order_id: Text::from(self.order_id),
            title: Text::from(self.title),
            pay_type: self.pay_type,
        };
        (Command::Credit(credit), self.request_id)
    }
}

impl Ask for pb::DebitRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        let funding = match enums::read::<pb::Purse>("purse", self.purse, checks) {
            None => Funding::PointsThenCash,
            Some(Purse::Points) => Funding::PointsOnly,
            Some(Purse::Cash) => Funding::CashOnly,
        };
        let debit = Debit {
            user_id: self.user_id,
            amount: self.amount,
            funding,
            order_id: Text::from(self.order_id),
            title: Text::from(self.title),
        };
        (Command::Debit(debit), self.request_id)
    }
}

impl Ask for pb::SelectKeyRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        let select = SelectKey {
            user_id: self.user_id,
            task_id: Text::from(self.task_id),
            app_name: Text::from(self.app_name),
            selection: KeySelection {
                runner_id: Text::from(self.runner_id),
                ttl_micros: time::micros("ttl", self.ttl, checks),
                estimated_cost_nano_usd: self.estimated_cost_nano_usd,
                ..KeySelection::default()
            },
        };
        (Command::SelectKey(select), self.request_id)
    }

    fn wait(&self, checks: &mut Checks<'_>) -> Wait {
        wait("max_wait", self.max_wait, checks)
    }
}

impl Ask for pb::StartTaskRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        let Self { task_id, online_task_id, key_id, lease_id, user_id } = self;
        if key_id.is_empty() && lease_id.is_empty() {
            checks.violation("key_id", "must not be empty: it says which key runs the task");
        }
        let start = StartTask {
            user_id,
            task_id: Text::from(task_id),
            online_task_id: Text::from(online_task_id),
            key_id: Text::from(key_id),
            lease_id: Text::from(lease_id),
        };
        (Command::StartTask(start), String::new())
    }
}

impl Ask for pb::CompleteTaskRequest {
    fn into_command(self, _: &mut Checks<'_>) -> (Command, String) {
        let complete = CompleteTask {
            user_id: self.user_id,
            task_id: Text::from(self.task_id),
            online_task_id: Text::from(self.online_task_id),
            output_params: Text::from(self.output_params),
            cost_nano_usd: self.cost_nano_usd,
            billable_units: Text::from(self.billable_units),
            capture_amount: self.capture_amount,
            lease_id: Text::from(self.lease_id),
        };
        (Command::CompleteTask(complete), self.request_id)
    }
}

impl Ask for pb::FailTaskRequest {
    fn into_command(self, checks: &mut Checks<'_>) -> (Command, String) {
        let report = Report {
            outcome: enums::read::<pb::LeaseOutcome>("outcome", self.outcome, checks),
            http_status: http_status(self.http_status, checks),
            error_message: message(self.error_message),
            retry_after_micros: time::micros("retry_after", self.retry_after, checks),
            latency_micros: None,
        };
        let fail = FailTask {
            user_id: self.user_id,
            task_id: Text::from(self.task_id),
            online_task_id: Text::from(self.online_task_id),
            error: Text::from(self.error),
            no_refund: self.no_refund,
            lease_id: Text::from(self.lease_id),
            report: Box::new(report),
        };
        (Command::FailTask(fail), self.request_id)
    }
}

/// What a charge or hold asks of the key pool; how long to wait for it is not the ledger's to know.
fn key_selection(selection: pb::KeySelection, checks: &mut Checks<'_>) -> KeySelection {
    KeySelection {
        runner_id: Text::from(selection.runner_id),
        ttl_micros: time::micros("select_key.ttl", selection.ttl, checks),
        estimated_cost_nano_usd: selection.estimated_cost_nano_usd,
        ..KeySelection::default()
    }
}

/// How long to wait: 0 to 60 s.
fn wait(field: &'static str, given: Option<prost_types::Duration>, checks: &mut Checks<'_>) -> Wait {
    let micros = time::micros(field, given, checks).unwrap_or(0);
    match u64::try_from(micros) {
        Ok(micros) if Duration::from_micros(micros) <= Wait::LONGEST => Wait(Duration::from_micros(micros)),
        _ => {
            checks.violation(field, "must be 0 to 60 seconds");
            Wait::default()
        }
    }
}

/// 0 is "not given".
pub(super) fn http_status(status: i32, checks: &mut Checks<'_>) -> Option<u16> {
    if status == 0 {
        return None;
    }
    let read = u16::try_from(status).ok();
    if read.is_none() {
        checks.violation("http_status", "must be 100 to 599");
    }
    read
}

/// What is kept of a report's text while it is judged.
pub(super) fn message(text: String) -> Text {
    let end = text.floor_char_boundary(MESSAGE_BYTES);
    Text::from(&text[..end])
}

fn funding(number: i32, checks: &mut Checks<'_>) -> Funding {
    enums::read::<pb::Funding>("funding", number, checks).unwrap_or(Funding::PointsThenCash)
}
