//! Submissions: commands that kept the limits, fingerprinted, and ready to queue.

use std::sync::Arc;

use super::command::{Authorize, Charge, Command, CompleteTask, Credit, UNRESOLVED};
use super::fingerprint::{Field, Fingerprint, canonical_json};
use super::limits::{Checks, ID_CHARS, LINE_CHARS, Limits, NAME_CHARS};
use super::{Funding, KeySelection, Purse, Rejection, SourceType, Text, UserId};

/// A command that kept the limits, with what makes a repeat of it recognisable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What is asked.
    pub command: Command,
    /// The caller's idempotency key, if one was given.
    pub request_id: Option<Text>,
    /// Who asks: written on every entry.
    pub actor: Text,
    /// What it says, field by field; its ids are compared apart.
    pub fingerprint: Fingerprint,
}

impl Submission {
    /// Checks `command` against `limits` and fingerprints it. An empty `request_id` means none was given.
    ///
    /// # Errors
    /// [`Rejection::InvalidField`] with every field that is wrong, or [`Rejection::RequestIdRequired`].
    pub fn new(
        mut command: Command,
        request_id: &str,
        actor: &Text,
        limits: &Limits,
    ) -> Result<Self, Rejection> {
        let mut checks = Checks::new(limits);
        checks.id("request_id", request_id, LINE_CHARS);
        let fingerprint = content(&command, &mut checks);
        checks.finish().map_err(Rejection::InvalidField)?;
        if let Command::Authorize(authorize) = &mut command {
            // After the fingerprint: a repeat says the same also when the operator has changed the default meanwhile.
            authorize.ttl_micros.get_or_insert(limits.default_hold_micros);
        }
        let needs_id = match &command {
            Command::Credit(_) | Command::Debit(_) => true,
            Command::Refund(refund) => refund.amount.is_some(),
            Command::Charge(_)
            | Command::Authorize(_)
            | Command::Capture(_)
            | Command::Void(_)
            | Command::SelectKey(_)
            | Command::StartTask(_)
            | Command::CompleteTask(_)
            | Command::FailTask(_)
            | Command::NoteAttempt(_)
            | Command::ExpireHold(_) => false,
        };
        if needs_id && request_id.is_empty() {
            return Err(Rejection::RequestIdRequired);
        }
        let request_id = (!request_id.is_empty()).then(|| Text::from(request_id));
        Ok(Self { command, request_id, actor: Arc::clone(actor), fingerprint })
    }
}

/// Charges that come as one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// All or nothing.
    pub atomic: bool,
    /// The items in order; one that was malformed is refused in its place.
    pub items: Vec<Result<Submission, Rejection>>,
}

/// What one caller waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all work is one command, which a box would allocate for anew"
)]
pub enum Work {
    /// One command.
    One(Submission),
    /// A batch of charges.
    Batch(Batch),
}

impl Work {
    /// The well-formed submissions in it, in order.
    pub fn submissions(&self) -> impl Iterator<Item = &Submission> {
        let (one, batch) = match self {
            Work::One(submission) => (Some(submission), None),
            Work::Batch(batch) => (None, Some(batch.items.iter().filter_map(|item| item.as_ref().ok()))),
        };
        one.into_iter().chain(batch.into_iter().flatten())
    }

    /// How many outcomes it will have.
    pub fn len(&self) -> usize {
        match self {
            Work::One(_) => 1,
            Work::Batch(batch) => batch.items.len(),
        }
    }

    /// Whether it asks for nothing: an empty batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Checks a command's fields and fingerprints its content. Fields are added in tag order; ids and titles do not count.
fn content(command: &Command, checks: &mut Checks<'_>) -> Fingerprint {
    match command {
        Command::Charge(charge) => charge_content(charge, 0, checks),
        Command::Authorize(Authorize { charge, ttl_micros }) => {
            if ttl_micros.is_some_and(|ttl| !(1..=checks.limits.max_hold_micros).contains(&ttl)) {
                let days = checks.limits.max_hold_micros / 86_400_000_000;
                checks.violation("ttl", format!("must be above 0 and at most {days} days"));
            }
            charge_content(charge, 1, checks).optional(Field::Ttl, *ttl_micros)
        }
        Command::Capture(capture) => {
            task_key(capture.user_id, &capture.task_id, checks);
            checks.amount("amount", capture.amount, 1, i64::MAX);
            Fingerprint::new().number(Field::Amount, capture.amount)
        }
        Command::Void(void) => {
            task_key(void.user_id, &void.task_id, checks);
            checks.line("reason", &void.reason, LINE_CHARS);
            Fingerprint::new().text(Field::Reason, &void.reason)
        }
        Command::Refund(refund) => {
            task_key(refund.user_id, &refund.task_id, checks);
            checks.amount("amount", refund.amount.unwrap_or(1), 1, i64::MAX);
            checks.line("reason", &refund.reason, LINE_CHARS);
            Fingerprint::new().optional(Field::Amount, refund.amount).text(Field::Reason, &refund.reason)
        }
        Command::Credit(credit) => credit_content(credit, checks),
        Command::Debit(debit) => {
            checks.user_id(debit.user_id);
            checks.amount("amount", debit.amount, 1, i64::MAX);
            checks.id("order_id", &debit.order_id, LINE_CHARS);
            checks.line("title", &debit.title, LINE_CHARS);
            Fingerprint::new()
                .number(Field::Amount, debit.amount)
                .text(Field::Purse, funding_content(debit.funding))
                .text(Field::OrderId, &debit.order_id)
        }
        Command::SelectKey(select) => {
            task_key(select.user_id, &select.task_id, checks);
            checks.id("app_name", &select.app_name, NAME_CHARS);
            selection(&select.selection, checks);
            Fingerprint::new()
                .text(Field::AppName, &select.app_name)
                .text(Field::RunnerId, &select.selection.runner_id)
        }
        Command::StartTask(start) => {
            task_key(start.user_id, &start.task_id, checks);
            checks.id("online_task_id", &start.online_task_id, ID_CHARS);
            checks.key_id(&start.key_id);
            checks.lease_id(&start.lease_id);
            Fingerprint::new().text(Field::OnlineTaskId, &start.online_task_id)
        }
        Command::CompleteTask(complete) => complete_content(complete, checks),
        Command::FailTask(fail) => {
            task_key(fail.user_id, &fail.task_id, checks);
            checks.id("online_task_id", &fail.online_task_id, ID_CHARS);
            checks.no_nul("error", &fail.error);
            checks.lease_id(&fail.lease_id);
            checks.report(&fail.report);
            Fingerprint::new()
                .text(Field::OnlineTaskId, &fail.online_task_id)
                .text(Field::Error, &fail.error)
                .number(Field::NoRefund, fail.no_refund.into())
        }
        Command::NoteAttempt(note) => {
            task_key(note.user_id, &note.task_id, checks);
            checks.required_id("online_task_id", &note.online_task_id, ID_CHARS);
            Fingerprint::new().text(Field::OnlineTaskId, &note.online_task_id)
        }
        Command::ExpireHold(expire) => {
            task_key(expire.user_id, &expire.task_id, checks);
            Fingerprint::new()
        }
    }
}

fn selection(selection: &KeySelection, checks: &mut Checks<'_>) {
    checks.id("runner_id", &selection.runner_id, LINE_CHARS);
    checks.lease_ttl(selection.ttl_micros);
    if selection.estimated_cost_nano_usd.is_some_and(|cost| cost < 0) {
        checks.violation("estimated_cost_nano_usd", "must be 0 or more");
    }
}

fn task_key(user_id: UserId, task_id: &str, checks: &mut Checks<'_>) {
    if user_id != UNRESOLVED {
        checks.user_id(user_id);
    }
    checks.required_id("task_id", task_id, ID_CHARS);
}

fn charge_content(charge: &Charge, min: i64, checks: &mut Checks<'_>) -> Fingerprint {
    checks.user_id(charge.user_id);
    checks.required_id("task_id", &charge.task_id, ID_CHARS);
    checks.amount("amount", charge.amount, min, checks.limits.max_charge_points);
    checks.id("app_name", &charge.app_name, NAME_CHARS);
    checks.id("task_type", &charge.task_type, ID_CHARS);
    checks.line("title", &charge.title, LINE_CHARS);
    checks.id("deployment_uuid", &charge.deployment_uuid, LINE_CHARS);
    pay_type(charge.pay_type, checks);
    if let Some(selected) = &charge.select_key {
        selection(selected, checks);
    }
    let input = json("input_params", &charge.input_params, checks);
    Fingerprint::new()
        .number(Field::Amount, charge.amount)
        .text(Field::AppName, &charge.app_name)
        .text(Field::TaskType, &charge.task_type)
        .text(Field::InputParams, &input)
        .text(Field::Funding, funding_content(charge.funding))
        .text(Field::DeploymentUuid, &charge.deployment_uuid)
        .number(Field::PayType, charge.pay_type.into())
}

fn credit_content(credit: &Credit, checks: &mut Checks<'_>) -> Fingerprint {
    checks.user_id(credit.user_id);
    checks.amount("amount", credit.amount, 1, i64::MAX);
    checks.id("order_id", &credit.order_id, LINE_CHARS);
    checks.line("title", &credit.title, LINE_CHARS);
    pay_type(credit.pay_type, checks);
    match credit.source_type {
        SourceType::Recharge | SourceType::Gift | SourceType::Reward | SourceType::System => {}
        SourceType::AgentRevenue if credit.purse == Purse::Cash => {}
        SourceType::AgentRevenue => {
            checks.violation("source_type", "agent revenue goes to the cash purse only")
        }
        SourceType::Consume | SourceType::Refund => {
            checks.violation("source_type", "must be recharge, gift, reward, system or agent revenue");
        }
    }
    Fingerprint::new()
        .number(Field::Amount, credit.amount)
        .number(Field::PayType, credit.pay_type.into())
        .text(Field::Purse, credit.purse.as_str())
        .text(Field::SourceType, credit.source_type.as_str())
        .text(Field::OrderId, &credit.order_id)
}

fn complete_content(complete: &CompleteTask, checks: &mut Checks<'_>) -> Fingerprint {
    task_key(complete.user_id, &complete.task_id, checks);
    checks.id("online_task_id", &complete.online_task_id, ID_CHARS);
    checks.lease_id(&complete.lease_id);
    if complete.cost_nano_usd.is_some_and(|cost| cost < 0) {
        checks.violation("cost_nano_usd", "must be 0 or more");
    }
    if !complete.billable_units.is_empty() {
        checks.decimal("billable_units", &complete.billable_units);
    }
    checks.amount("capture_amount", complete.capture_amount.unwrap_or(1), 1, i64::MAX);
    let output = json("output_params", &complete.output_params, checks);
    Fingerprint::new()
        .text(Field::OnlineTaskId, &complete.online_task_id)
        .text(Field::OutputParams, &output)
        .optional(Field::CostNanoUsd, complete.cost_nano_usd)
        .text(Field::BillableUnits, &complete.billable_units)
        .optional(Field::CaptureAmount, complete.capture_amount)
}

/// The default draws from both purses and is left out of the fingerprint.
const fn funding_content(funding: Funding) -> &'static str {
    match funding {
        Funding::PointsThenCash => "",
        Funding::PointsOnly | Funding::CashOnly => funding.as_str(),
    }
}

fn pay_type(value: i32, checks: &mut Checks<'_>) {
    if value < 0 {
        checks.violation("pay_type", "must be 0 or more");
    }
}

/// The canonical form of a JSON field; empty where it is empty or wrong.
fn json(field: &'static str, text: &str, checks: &mut Checks<'_>) -> String {
    checks.bytes(field, text, checks.limits.max_json_bytes);
    // What is too long is not even parsed.
    if text.is_empty() || text.len() > checks.limits.max_json_bytes {
        return String::new();
    }
    canonical_json(text).unwrap_or_else(|why| {
        checks.violation(field, format!("must be valid JSON: {why}"));
        String::new()
    })
}
