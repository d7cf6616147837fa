//! Re-derives every stored figure of one user from its entries, and names each that disagrees.
//!
//! The phases of one user, in this order: [`UserCheck::entry`] for each entry by `user_seq`; [`UserCheck::task`] for
//! each task; [`UserCheck::request`] for each idempotency record; [`UserCheck::finish`] with the user's own row.

use std::collections::BTreeMap;

use super::hash::ChainFields;
use super::{
    EntryRange, Field, Fingerprint, Frozen, Hash, HoldState, Method, Micros, Money, Operation, Purse,
    RequestRecord, SourceType, Task, TaskStatus, TransactionType, User, UserId,
};

/// A stored figure that is not what the rest of the ledger says it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The table.
    pub table: &'static str,
    /// The row, such as `user 7 seq 3`.
    pub key: String,
    /// The column or rule.
    pub what: &'static str,
    /// What it must be.
    pub expected: String,
    /// What is stored.
    pub found: String,
}

/// What the entries of one order say.
#[derive(Clone, Debug, Default)]
struct Order {
    charged: Money,
    refunded: Money,
    charge_seq: Option<i64>,
    /// Its newest refund, and the request it came with: of two refunds in a row at most one came without.
    refund: Option<(EntryRange, Option<String>)>,
    /// Every entry, in the order of the chain.
    moved: Vec<(i64, Operation)>,
    has_task: bool,
}

impl Order {
    fn refund(&mut self, seq: i64, request_id: Option<&str>) {
        self.refund = match self.refund.take() {
            Some((range, came_with)) if end_of(range) == seq && came_with.as_deref() == request_id => {
                Some((EntryRange { count: range.count.saturating_add(1), ..range }, came_with))
            }
            _ => Some((EntryRange { first_seq: seq, count: 1 }, request_id.map(str::to_owned))),
        };
    }

    /// Whether all entries of `range` are this order's, and what `operation` wrote.
    fn holds(&self, range: EntryRange, operation: Operation) -> bool {
        range.count > 0
            && (range.first_seq..end_of(range)).all(|seq| self.moved.binary_search(&(seq, operation)).is_ok())
    }
}

/// The check of one user.
pub struct UserCheck {
    user_id: UserId,
    seq: i64,
    hash: Hash,
    time: Option<Micros>,
    balance: Money,
    held: Money,
    orders: BTreeMap<String, Order>,
    /// Entries that came with a request id, and whether its record has been seen.
    requested: BTreeMap<i64, (String, Option<Operation>, bool)>,
    found: Vec<Disagreement>,
}

const FINANCIAL: &str = "ts_financial_transactions";
const POINTS: &str = "ts_points_detail";
const TASKS: &str = "ts_fal_tasks";
const USERS: &str = "ts_users";
const REQUESTS: &str = "scrip_requests";

impl UserCheck {
    /// Starts the check of a user.
    pub const fn new(user_id: UserId) -> Self {
        Self {
            user_id,
            seq: 0,
            hash: Hash::ZERO,
            time: None,
            balance: Money::ZERO,
            held: Money::ZERO,
            orders: BTreeMap::new(),
            requested: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// Takes the next entry as stored.
    pub fn entry(&mut self, row: &ChainFields<'_>, stored_hash: &Hash) {
        let key = || format!("user {} seq {}", row.user_id, row.user_seq);
        let expected_seq = self.seq.saturating_add(1);
        self.compare(FINANCIAL, key, "user_seq", &expected_seq, &row.user_seq);
        self.compare(FINANCIAL, key, "entry_hash", &row.chain(&self.hash), stored_hash);
        if let Some(before) = self.time.filter(|before| *before > row.time) {
            self.add(FINANCIAL, key(), "time", format!("at or after {}", before.0), row.time.0.to_string());
        }
        let purse = if row.is_cash { Purse::Cash } else { Purse::Points };
        let before = self.balance.get(purse);
        self.compare(FINANCIAL, key, "balance_before", &before, &row.balance_before);
        let after = before.saturating_add(row.money);
        self.compare(FINANCIAL, key, "balance_after", &after, &row.balance_after);
        match purse {
            Purse::Points => self.balance.points = after,
            Purse::Cash => self.balance.cash = after,
        }
        self.words(row, key);
        self.twin(row, key);
        self.seq = row.user_seq;
        // The stored hash leads on, so that one changed row is one finding and not one for every row after it.
        self.hash = *stored_hash;
        self.time = Some(row.time);
        self.note_order(row, purse);
        if let Some(request_id) = row.request_id {
            let operation = Operation::parse(row.operation);
            self.requested.insert(row.user_seq, (request_id.to_owned(), operation, false));
        }
    }

    fn words(&mut self, row: &ChainFields<'_>, key: impl Fn() -> String) {
        match (Operation::parse(row.operation), SourceType::parse(row.source_type)) {
            (Some(operation), Some(source_type)) => {
                let code = TransactionType::of(operation, source_type).code();
                self.compare(FINANCIAL, &key, "transaction_type", &code, &row.transaction_type);
            }
            _ => {
                let found = format!("{} / {}", row.operation, row.source_type);
                self.add(FINANCIAL, key(), "operation and source_type", "known words".to_owned(), found);
            }
        }
    }

    fn twin(&mut self, row: &ChainFields<'_>, key: impl Fn() -> String) {
        let Some(twin) = &row.points else {
            if !row.is_cash {
                self.add(POINTS, key(), "row", "one for each points movement".to_owned(), "none".to_owned());
            }
            return;
        };
        if row.is_cash {
            self.add(POINTS, key(), "row", "none for a cash movement".to_owned(), "one".to_owned());
        }
        self.compare(POINTS, &key, "points", &row.money, &twin.points);
        self.compare(POINTS, &key, "balance_before", &row.balance_before, &twin.balance_before);
        self.compare(POINTS, &key, "balance_after", &row.balance_after, &twin.balance_after);
        self.compare(POINTS, &key, "order_id", &row.order_id, &twin.order_id);
        self.compare(POINTS, &key, "title", &row.title, &twin.title);
        self.compare(POINTS, &key, "source_type", &row.source_type, &twin.source_type);
        self.compare(POINTS, &key, "created_at", &row.time.0, &twin.created_at.0);
        self.compare(
            POINTS,
            &key,
            "request_id",
            &row.request_id.unwrap_or("-"),
            &twin.request_id.unwrap_or("-"),
        );
        self.compare(POINTS, &key, "actor", &row.actor, &twin.actor);
    }

    fn note_order(&mut self, row: &ChainFields<'_>, purse: Purse) {
        let moved = Money::of(purse, row.money.saturating_abs());
        match Operation::parse(row.operation) {
            Some(operation @ (Operation::Charge | Operation::Capture)) => {
                let order = self.orders.entry(row.order_id.to_owned()).or_default();
                order.moved.push((row.user_seq, operation));
                order.charged = order.charged.checked_add(moved).unwrap_or(order.charged);
                order.charge_seq.get_or_insert(row.user_seq);
            }
            Some(Operation::Refund) => {
                let order = self.orders.entry(row.order_id.to_owned()).or_default();
                order.refunded = order.refunded.checked_add(moved).unwrap_or(order.refunded);
                order.moved.push((row.user_seq, Operation::Refund));
                order.refund(row.user_seq, row.request_id);
            }
            Some(Operation::Credit | Operation::Debit) | None => {}
        }
    }

    /// Takes one of the user's tasks; `is_refund` as stored.
    pub fn task(&mut self, task: &Task, is_refund: bool) {
        let key = || format!("task {}", task.task_id);
        let order = self.orders.entry(task.task_id.to_string()).or_default();
        order.has_task = true;
        let order = order.clone();
        self.compare(TASKS, key, "charged_points", &order.charged.points, &task.charged.points);
        self.compare(TASKS, key, "charged_cash", &order.charged.cash, &task.charged.cash);
        self.compare(TASKS, key, "refunded_points", &order.refunded.points, &task.refunded.points);
        self.compare(TASKS, key, "refunded_cash", &order.refunded.cash, &task.refunded.cash);
        self.compare(TASKS, key, "is_refund", &!order.refunded.is_zero(), &is_refund);
        self.compare(TASKS, key, "charge_seq", &Seq(order.charge_seq), &Seq(task.charge_seq));
        let charged = order.charged.checked_total().unwrap_or(i64::MAX);
        self.compare(TASKS, key, "money", &charged, &task.money);
        self.compare(
            TASKS,
            key,
            "refund_seq and refund_entries",
            &Seqs(order.refund.as_ref().map(|(range, _)| *range)),
            &Seqs(task.refund_entries),
        );
        let is_open = task.hold_state == Some(HoldState::Open);
        if is_open {
            self.compare(TASKS, key, "held_points", &task.authorized.points, &task.held.points);
            self.compare(TASKS, key, "held_cash", &task.authorized.cash, &task.held.cash);
        }
        self.compare(TASKS, key, "hold_expires_at", &is_open, &task.hold_expire_time.is_some());
        let captured = task.hold_state == Some(HoldState::Captured);
        if task.is_hold() {
            self.compare(TASKS, key, "hold_state", &captured, &!task.charged.is_zero());
        }
        self.compare(TASKS, key, "completed_at", &!task.status.is_open(), &task.complete_time.is_some());
        self.settled(task, &order, key);
        self.content(task, key);
        self.held = self.held.checked_add(task.held).unwrap_or(self.held);
    }

    /// What ended a task, and what that wrote.
    fn settled(&mut self, task: &Task, order: &Order, key: impl Fn() -> String) {
        let writes = match task.status {
            TaskStatus::Completed => Some(Operation::Capture),
            TaskStatus::Failed => Some(Operation::Refund),
            TaskStatus::Pending | TaskStatus::Processing | TaskStatus::Canceled => None,
        };
        let is_reported = task.settle_fingerprint.is_some();
        self.compare(TASKS, &key, "status and settle_fingerprint", &writes.is_some(), &is_reported);
        if let Some(range) = task.settle_entries
            && !writes.is_some_and(|operation| order.holds(range, operation))
        {
            let expected = "entries that ending this task wrote".to_owned();
            self.add(TASKS, key(), "settle_seq and settle_entries", expected, Seqs(Some(range)).to_string());
        }
        let let_go = matches!(task.hold_state, Some(HoldState::Voided | HoldState::Expired));
        if task.status == TaskStatus::Canceled && !let_go {
            let expected = "canceled with its hold voided or expired".to_owned();
            self.add(TASKS, key(), "status", expected, task.status.to_string());
        }
        if task.status == TaskStatus::Pending && let_go {
            let expected = "not pending, as its hold was let go".to_owned();
            self.add(TASKS, key(), "status", expected, task.status.to_string());
        }
        if task.status == TaskStatus::Failed && task.hold_state == Some(HoldState::Open) {
            self.add(TASKS, key(), "status", "failed with no open hold".to_owned(), task.status.to_string());
        }
    }

    /// The columns that the fingerprint of its creation covers: what a repeat of the call is compared with.
    fn content(&mut self, task: &Task, key: impl Fn() -> String) {
        let asked = if task.is_hold() { task.authorized.checked_total() } else { Some(task.money) };
        let one = Fingerprint::new;
        let columns = [
            (Field::Amount, "amount", one().number(Field::Amount, asked.unwrap_or(i64::MAX))),
            (Field::AppName, "app_name", one().text(Field::AppName, &task.app_name)),
            (Field::TaskType, "task_type", one().text(Field::TaskType, &task.task_type)),
            (
                Field::DeploymentUuid,
                "deployment_uuid",
                one().text(Field::DeploymentUuid, &task.deployment_uuid),
            ),
            (Field::PayType, "pay_type", one().number(Field::PayType, task.pay_type.into())),
        ];
        for (field, what, stored) in columns {
            if !task.fingerprint.agrees_on(field, &stored) {
                let found = format!("another {what}");
                self.add(TASKS, key(), "fingerprint", format!("that of the stored {what}"), found);
            }
        }
    }

    /// Takes one of the user's idempotency records.
    pub fn request(&mut self, record: &RequestRecord) {
        let Frozen::Done { entries, .. } = record.frozen else { return };
        let key = || format!("user {} request {}", record.user_id, record.request_id);
        let order = record.task_id.as_ref().map(|task_id| self.orders.get(&**task_id));
        let has_task = order.is_none_or(|order| order.is_some_and(|order| order.has_task));
        let writes = writes(record.method);
        let is_its_tasks = |range| match (order.flatten(), writes) {
            (Some(order), Some(operation)) => order.holds(range, operation),
            _ => false,
        };
        // Which entries a command without a task wrote, they say themselves: see below.
        let is_strange =
            entries.is_some_and(|range| (order.is_some() || writes.is_none()) && !is_its_tasks(range));
        if let (false, Some(task_id)) = (has_task, &record.task_id) {
            self.add(REQUESTS, key(), "task_id", format!("a task {task_id} of this user"), "none".to_owned());
        }
        let Some(range) = entries else { return };
        let end = end_of(range);
        let mut missing = None;
        let mut wrong = None;
        for seq in range.first_seq..end {
            match self.requested.get_mut(&seq) {
                Some((request_id, operation, seen))
                    if **request_id == *record.request_id && *operation == writes =>
                {
                    *seen = true;
                }
                // A repeat under another key of what was done before names the entries of the first.
                Some(_) | None if seq <= self.seq && seq >= 1 => wrong = wrong.or(Some(seq)),
                Some(_) | None => missing = Some(seq),
            }
        }
        if let Some(seq) = missing {
            self.add(
                REQUESTS,
                key(),
                "entry_seq",
                format!("an entry of seq {seq}"),
                "no such entry".to_owned(),
            );
        } else if is_strange {
            let expected = format!("entries that {} of its task wrote", record.method);
            self.add(REQUESTS, key(), "entry_seq and entry_count", expected, Seqs(entries).to_string());
        }
        if let (Some(seq), None) = (wrong, &record.task_id) {
            let found = "an entry of another request".to_owned();
            self.add(REQUESTS, key(), "entry_seq", format!("its own entry at seq {seq}"), found);
        }
    }

    /// Ends the check with the user's own row, if there is one; answers what disagrees.
    pub fn finish(mut self, user: Option<&User>) -> Vec<Disagreement> {
        let key = format!("user {}", self.user_id);
        if let Some(user) = user {
            let key = || key.clone();
            self.compare(USERS, key, "points_balance", &self.balance.points.clone(), &user.balance.points);
            self.compare(USERS, key, "cash_balance", &self.balance.cash.clone(), &user.balance.cash);
            self.compare(USERS, key, "points_held", &self.held.points.clone(), &user.held.points);
            self.compare(USERS, key, "cash_held", &self.held.cash.clone(), &user.held.cash);
            self.compare(USERS, key, "entry_seq", &self.seq.clone(), &user.entry_seq);
            self.compare(USERS, key, "chain_hash", &self.hash.clone(), &user.chain_hash);
            if let Some(time) = self.time {
                self.compare(USERS, key, "last_entry_at", &time.0, &user.last_entry_time.0);
            }
        } else {
            self.add(
                USERS,
                key,
                "row",
                "one for a user with entries, tasks or requests".to_owned(),
                "none".to_owned(),
            );
        }
        let strays: Vec<String> = self
            .orders
            .iter()
            .filter(|(_, order)| !order.has_task)
            .map(|(order_id, _)| order_id.clone())
            .collect();
        for order_id in strays {
            self.add(
                TASKS,
                format!("task {order_id}"),
                "row",
                "one for its entries".to_owned(),
                "none".to_owned(),
            );
        }
        let unrecorded: Vec<(i64, String)> = self
            .requested
            .iter()
            .filter(|(_, (_, _, seen))| !seen)
            .map(|(seq, (request_id, _, _))| (*seq, request_id.clone()))
            .collect();
        for (seq, request_id) in unrecorded {
            let key = format!("user {} request {request_id}", self.user_id);
            self.add(REQUESTS, key, "row", format!("one for the entry of seq {seq}"), "none".to_owned());
        }
        self.found
    }

    fn compare<T: PartialEq + std::fmt::Display>(
        &mut self,
        table: &'static str,
        key: impl Fn() -> String,
        what: &'static str,
        expected: &T,
        found: &T,
    ) {
        if expected != found {
            self.add(table, key(), what, expected.to_string(), found.to_string());
        }
    }

    fn add(&mut self, table: &'static str, key: String, what: &'static str, expected: String, found: String) {
        self.found.push(Disagreement { table, key, what, expected, found });
    }
}

/// The first number past a range.
fn end_of(range: EntryRange) -> i64 {
    range.first_seq.saturating_add(range.count.into())
}

/// What the entries of a method are; `None` of one that writes none.
const fn writes(method: Method) -> Option<Operation> {
    match method {
        Method::Charge => Some(Operation::Charge),
        Method::Capture | Method::CompleteTask => Some(Operation::Capture),
        Method::Refund | Method::FailTask => Some(Operation::Refund),
        Method::Credit => Some(Operation::Credit),
        Method::Debit => Some(Operation::Debit),
        Method::Authorize
        | Method::Void
        | Method::SelectKey
        | Method::CreateAccount
        | Method::UpdateAccount
        | Method::DeleteAccount
        | Method::StartReconciliation
        | Method::StartTask
        | Method::NoteAttempt
        | Method::ExpireHold => None,
    }
}

/// A range of `user_seq` for people.
#[derive(PartialEq)]
struct Seqs(Option<EntryRange>);

impl std::fmt::Display for Seqs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(EntryRange { first_seq, count }) => write!(f, "{count} from {first_seq}"),
            None => f.write_str("none"),
        }
    }
}

/// An optional `user_seq` for people.
#[derive(PartialEq)]
struct Seq(Option<i64>);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(seq) => write!(f, "{seq}"),
            None => f.write_str("none"),
        }
    }
}
