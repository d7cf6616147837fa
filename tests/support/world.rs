//! The tables as maps: a plan is applied to memory whole or not at all, under the constraints the migrations declare.
//!
//! The unit tests of `decide`, the property tests of the pure rooms and the in-memory model store all stand on this
//! one file. Whoever includes it by `#[path]` has a module named `ledger` beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ledger::{
    Attempt, Change, Entry, Footprint, HoldState, Micros, Money, Plan, RequestRecord, Snapshot, Task,
    TaskWrite, Text, User, UserId,
};

/// A row of `ts_fal_tasks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// In the order of writing, from 1.
    pub id: i64,
    /// The task.
    pub task: Task,
    /// The caller's JSON.
    pub input_params: Text,
    /// The runner's JSON.
    pub output_params: Text,
}

/// A row of `ts_financial_transactions`, and the id of its twin in `ts_points_detail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// In the order of writing, from 1.
    pub id: i64,
    /// Of its points row; `None` for a cash movement.
    pub points_id: Option<i64>,
    /// The entry.
    pub entry: Entry,
}

/// A constraint of the tables that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The constraint, by the name the PostgreSQL migration gives it or by its rule.
    pub constraint: &'static str,
    /// The row that breaks it.
    pub row: String,
}

/// The constraint that two writers can break without a bug: deciding again meets the other one's task.
pub const TASK_ID_UNIQUE: &str = "ts_fal_tasks_task_id";

/// Everything stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    users: BTreeMap<UserId, User>,
    tasks: BTreeMap<Text, TaskRow>,
    attempts: BTreeMap<(UserId, Text, i32), Attempt>,
    entries: BTreeMap<(UserId, i64), EntryRow>,
    requests: BTreeMap<(UserId, Text), RequestRecord>,
    last_task_id: i64,
    last_entry_id: i64,
    last_points_id: i64,
}

impl World {
    /// Users by id.
    pub fn users(&self) -> &BTreeMap<UserId, User> {
        &self.users
    }

    /// Tasks by the caller's id.
    pub fn tasks(&self) -> &BTreeMap<Text, TaskRow> {
        &self.tasks
    }

    /// Attempts by user, task and number.
    pub fn attempts(&self) -> &BTreeMap<(UserId, Text, i32), Attempt> {
        &self.attempts
    }

    /// Entries by user and `user_seq`.
    pub fn entries(&self) -> &BTreeMap<(UserId, i64), EntryRow> {
        &self.entries
    }

    /// Idempotency records by user and `request_id`.
    pub fn requests(&self) -> &BTreeMap<(UserId, Text), RequestRecord> {
        &self.requests
    }

    /// One task, which must be there.
    #[track_caller]
    pub fn task(&self, task_id: &str) -> &Task {
        &self.tasks.get(task_id).unwrap_or_else(|| panic!("no task {task_id}")).task
    }

    /// One user, who must be there.
    #[track_caller]
    pub fn user(&self, user_id: UserId) -> &User {
        self.users.get(&user_id).unwrap_or_else(|| panic!("no user {user_id}"))
    }

    /// The rows of a footprint, as a store reads them under its locks.
    pub fn snapshot(&self, footprint: &Footprint, now: Micros) -> Snapshot {
        Snapshot {
            now,
            users: footprint.users.iter().filter_map(|id| self.users.get(id)).copied().collect(),
            tasks: footprint.tasks.iter().filter_map(|id| Some(self.tasks.get(id)?.task.clone())).collect(),
            requests: footprint.requests.iter().filter_map(|key| self.requests.get(key)).cloned().collect(),
        }
    }

    /// Writes a plan whole; on a violation nothing is written.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), Violation> {
        self.check(plan)?;
        self.users.extend(plan.users.iter().map(|(_, user)| (user.user_id, *user)));
        for write in &plan.tasks {
            self.write_task(write);
        }
        for entry in &plan.entries {
            self.write_entry(entry);
        }
        for attempt in &plan.attempts {
            let key = (attempt.user_id, Arc::clone(&attempt.task_id), attempt.attempt);
            self.attempts.insert(key, attempt.clone());
        }
        for request in &plan.requests {
            self.requests.insert((request.user_id, Arc::clone(&request.request_id)), request.clone());
        }
        Ok(())
    }

    fn write_task(&mut self, write: &TaskWrite) {
        let task = Task::clone(&write.task);
        match self.tasks.get_mut(&write.task.task_id) {
            Some(row) => {
                row.task = task;
                if let Some(output_params) = &write.output_params {
                    row.output_params = Arc::clone(output_params);
                }
            }
            None => {
                self.last_task_id += 1;
                let row = TaskRow {
                    id: self.last_task_id,
                    task,
                    input_params: Arc::clone(&write.input_params),
                    output_params: write.output_params.clone().unwrap_or_default(),
                };
                self.tasks.insert(Arc::clone(&write.task.task_id), row);
            }
        }
    }

    fn write_entry(&mut self, entry: &Entry) {
        self.last_entry_id += 1;
        let points_id = (!entry.purse.is_cash()).then(|| {
            self.last_points_id += 1;
            self.last_points_id
        });
        let row = EntryRow { id: self.last_entry_id, points_id, entry: entry.clone() };
        self.entries.insert((entry.user_id, entry.user_seq), row);
    }

    fn check(&self, plan: &Plan) -> Result<(), Violation> {
        check_keys(
            "ts_users_pkey",
            plan.users.iter().map(|(change, user)| (*change, user.user_id)),
            |user_id| self.users.contains_key(user_id),
        )?;
        check_keys(
            TASK_ID_UNIQUE,
            plan.tasks.iter().map(|write| (write.change, Arc::clone(&write.task.task_id))),
            |task_id| self.tasks.contains_key(task_id),
        )?;
        check_keys(
            "ts_financial_transactions_pkey",
            plan.entries.iter().map(|entry| (Change::Insert, (entry.user_id, entry.user_seq))),
            |key| self.entries.contains_key(key),
        )?;
        check_keys(
            "scrip_requests_pkey",
            plan.requests.iter().map(|row| (Change::Insert, (row.user_id, Arc::clone(&row.request_id)))),
            |key| self.requests.contains_key(key),
        )?;
        check_keys(
            "scrip_task_attempts_pkey",
            plan.attempts
                .iter()
                .map(|row| (Change::Insert, (row.user_id, Arc::clone(&row.task_id), row.attempt))),
            |key| self.attempts.contains_key(key),
        )?;
        plan.users.iter().try_for_each(|(_, user)| check_user(user))?;
        plan.tasks.iter().try_for_each(|write| {
            if let Some(stored) = self.tasks.get(&write.task.task_id) {
                let same = stored.task.user_id == write.task.user_id;
                ensure(same, "a task is updated under its user", || format!("task {}", write.task.task_id))?;
            }
            check_task(&write.task)
        })?;
        plan.entries.iter().try_for_each(|entry| check_entry(entry))?;
        plan.attempts.iter().try_for_each(check_attempt)?;
        plan.requests.iter().try_for_each(check_request)
    }
}

fn ensure(holds: bool, constraint: &'static str, row: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { constraint, row: row() }) }
}

/// Inserts meet no row, updates meet one, and no row is written twice.
fn check_keys<K: Ord + std::fmt::Debug>(
    constraint: &'static str,
    writes: impl Iterator<Item = (Change, K)>,
    is_stored: impl Fn(&K) -> bool,
) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    for (change, key) in writes {
        let fits = is_stored(&key) == (change == Change::Update);
        ensure(fits, constraint, || format!("{change:?} of {key:?}"))?;
        let row = format!("{key:?}, twice in one plan");
        ensure(seen.insert(key), constraint, || row)?;
    }
    Ok(())
}

fn not_negative(money: Money) -> bool {
    money.points >= 0 && money.cash >= 0
}

fn at_most(low: Money, high: Money) -> bool {
    low.points <= high.points && low.cash <= high.cash
}

fn fits(text: &str, chars: usize) -> bool {
    text.chars().count() <= chars && !text.contains('\0')
}

fn check_user(user: &User) -> Result<(), Violation> {
    let row = || format!("{user:?}");
    ensure(user.user_id >= 1, "id >= 1", row)?;
    ensure(not_negative(user.balance), "points_balance >= 0, cash_balance >= 0", row)?;
    ensure(not_negative(user.held), "points_held >= 0, cash_held >= 0", row)?;
    ensure(user.entry_seq >= 0, "entry_seq >= 0", row)?;
    ensure(at_most(user.held, user.balance), "held <= balance", row)
}

fn check_task(task: &Task) -> Result<(), Violation> {
    let row = || format!("{task:?}");
    let open = task.hold_state == Some(HoldState::Open);
    ensure(task.money >= 0, "money >= 0", row)?;
    let figures = [task.charged, task.refunded, task.held, task.authorized];
    ensure(figures.into_iter().all(not_negative), "charged, refunded, held, authorized >= 0", row)?;
    ensure(task.charged.checked_total() == Some(task.money), "money = charged_points + charged_cash", row)?;
    ensure(at_most(task.refunded, task.charged), "refunded <= charged", row)?;
    ensure(at_most(task.held, task.authorized), "held <= authorized", row)?;
    ensure(open == task.hold_expire_time.is_some(), "an open hold has its time, no other", row)?;
    ensure(open || task.held.is_zero(), "only an open hold holds", row)?;
    let costs = [task.reported_cost_nano_usd, task.billed_cost_nano_usd];
    ensure(costs.into_iter().flatten().all(|cost| cost >= 0), "cost >= 0", row)?;
    let widths = [
        (&task.task_id, 100),
        (&task.online_task_id, 100),
        (&task.app_name, 150),
        (&task.key_id, 150),
        (&task.task_type, 100),
        (&task.deployment_uuid, 255),
    ];
    ensure(widths.into_iter().all(|(text, chars)| fits(text, chars)), "widths of ts_fal_tasks", row)
}

fn check_entry(entry: &Entry) -> Result<(), Violation> {
    let row = || format!("{entry:?}");
    ensure(entry.user_seq >= 1, "user_seq >= 1", row)?;
    ensure(entry.amount != 0, "money <> 0", row)?;
    ensure(entry.balance_before >= 0, "balance_before >= 0", row)?;
    ensure(entry.balance_after >= 0, "balance_after >= 0", row)?;
    let after = entry.balance_before.checked_add(entry.amount);
    ensure(after == Some(entry.balance_after), "balance_after = balance_before + money", row)?;
    let request_id = entry.request_id.clone().unwrap_or_default();
    let lines = [&entry.order_id, &entry.title, &entry.deployment_uuid, &request_id];
    ensure(lines.into_iter().all(|text| fits(text, 255)), "widths of ts_financial_transactions", row)
}

fn check_attempt(attempt: &Attempt) -> Result<(), Violation> {
    let row = || format!("{attempt:?}");
    ensure(attempt.attempt >= 1, "attempt >= 1", row)?;
    let fits =
        fits(&attempt.task_id, 100) && fits(&attempt.online_task_id, 100) && fits(&attempt.key_id, 150);
    ensure(fits, "widths of scrip_task_attempts", row)
}

fn check_request(request: &RequestRecord) -> Result<(), Violation> {
    let row = || format!("{request:?}");
    ensure(fits(&request.request_id, 255), "widths of scrip_requests", row)
}
