//! Commands: what a caller asks of the ledger, checked against the limits and fingerprinted before they queue.

use std::sync::Arc;

use super::fingerprint::{Field, Fingerprint, canonical_json};
use super::limits::{Checks, ID_CHARS, LINE_CHARS, Limits, NAME_CHARS};
use super::{Funding, Method, Purse, Rejection, SourceType, Text, UserId};

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

/// A runner starts the task, or starts it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTask {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// fal's id of the attempt; may be empty where it is not yet known.
    pub online_task_id: Text,
    /// The id of the key that runs it.
    pub key_id: Text,
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
    StartTask(StartTask),
    CompleteTask(CompleteTask),
    FailTask(FailTask),
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
            Command::StartTask(_) => Method::StartTask,
            Command::CompleteTask(_) => Method::CompleteTask,
            Command::FailTask(_) => Method::FailTask,
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
            Command::StartTask(command) => command.user_id,
            Command::CompleteTask(command) => command.user_id,
            Command::FailTask(command) => command.user_id,
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
            Command::StartTask(command) => &mut command.user_id,
            Command::CompleteTask(command) => &mut command.user_id,
            Command::FailTask(command) => &mut command.user_id,
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
            Command::StartTask(command) => Some(&command.task_id),
            Command::CompleteTask(command) => Some(&command.task_id),
            Command::FailTask(command) => Some(&command.task_id),
            Command::ExpireHold(command) => Some(&command.task_id),
            Command::Credit(_) | Command::Debit(_) => None,
        }
    }

    /// Roughly how many bytes it keeps in memory while it queues.
    pub fn weight_bytes(&self) -> usize {
        let text = match self {
            Command::Charge(command) => command.input_params.len(),
            Command::Authorize(command) => command.charge.input_params.len(),
            Command::CompleteTask(command) => command.output_params.len(),
            Command::FailTask(command) => command.error.len(),
            Command::Capture(_)
            | Command::Void(_)
            | Command::Refund(_)
            | Command::Credit(_)
            | Command::Debit(_)
            | Command::StartTask(_)
            | Command::ExpireHold(_) => 0,
        };
        text.saturating_add(1024)
    }
}

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
    pub fn new(command: Command, request_id: &str, actor: &Text, limits: &Limits) -> Result<Self, Rejection> {
        let mut checks = Checks::new(limits);
        checks.id("request_id", request_id, LINE_CHARS);
        let fingerprint = content(&command, &mut checks);
        checks.finish().map_err(Rejection::InvalidField)?;
        let needs_id = match &command {
            Command::Credit(_) | Command::Debit(_) => true,
            Command::Refund(refund) => refund.amount.is_some(),
            Command::Charge(_)
            | Command::Authorize(_)
            | Command::Capture(_)
            | Command::Void(_)
            | Command::StartTask(_)
            | Command::CompleteTask(_)
            | Command::FailTask(_)
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
        Command::StartTask(start) => {
            task_key(start.user_id, &start.task_id, checks);
            checks.id("online_task_id", &start.online_task_id, ID_CHARS);
            checks.key_id(&start.key_id);
            Fingerprint::new().text(Field::OnlineTaskId, &start.online_task_id)
        }
        Command::CompleteTask(complete) => complete_content(complete, checks),
        Command::FailTask(fail) => {
            task_key(fail.user_id, &fail.task_id, checks);
            checks.id("online_task_id", &fail.online_task_id, ID_CHARS);
            checks.no_nul("error", &fail.error);
            Fingerprint::new()
                .text(Field::OnlineTaskId, &fail.online_task_id)
                .text(Field::Error, &fail.error)
                .number(Field::NoRefund, fail.no_refund.into())
        }
        Command::ExpireHold(expire) => {
            task_key(expire.user_id, &expire.task_id, checks);
            Fingerprint::new()
        }
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
    if text.is_empty() {
        return String::new();
    }
    checks.bytes(field, text, checks.limits.max_json_bytes);
    canonical_json(text).unwrap_or_else(|why| {
        checks.violation(field, format!("must be valid JSON: {why}"));
        String::new()
    })
}
