//! A store in memory: enough of one to drive the services through the real engine.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use uuid::Uuid;

use crate::keypool::{AccountId, AccountKey};
use crate::ledger;
use crate::ledger::{Change, Entry, EntryRange, Micros, RequestRecord, Task, Text, User, UserId};
use crate::store::rows::{
    AccountRecord, AuditRecord, EntryQuery, FinancialQuery, FinancialTransaction, LeaseRecord, Page,
    PastBalance, PointsDetail, PointsQuery, PoolRows, TaskOwner, TaskQuery, TaskRecord, UserCursor,
};
use crate::store::{
    AuditSnapshot, Decide, Footprint, Reader, Run, Snapshot, Store, StoreError, Transacted, Writer,
};

pub(super) const NOW: Micros = Micros(1_700_000_000_000_000);

#[derive(Default)]
struct Rows {
    users: Vec<User>,
    tasks: Vec<(Task, Text, Text)>,
    requests: Vec<RequestRecord>,
    entries: Vec<Entry>,
}

#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Rows>>);

impl Memory {
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Rows) -> T,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        ready(Ok(read(&self.0.lock().unwrap()))).boxed()
    }
}

impl Store for Memory {
    fn writer(&self) -> Box<dyn Writer> {
        Box::new(self.clone())
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

impl Writer for Memory {
    fn transact<'a>(
        &'a mut self,
        _: Uuid,
        _: Run,
        _: &'a Footprint,
        decide: Decide<'a>,
    ) -> BoxFuture<'a, Transacted> {
        let mut rows = self.0.lock().unwrap();
        let ledger = ledger::Snapshot {
            now: NOW,
            users: rows.users.clone(),
            tasks: rows.tasks.iter().map(|(task, ..)| task.clone()).collect(),
            requests: rows.requests.clone(),
        };
        let plan = decide(Snapshot { ledger, ..Snapshot::default() }).ledger;
        for (change, user) in plan.users {
            match change {
                Change::Insert => rows.users.push(user),
                Change::Update => {
                    let stored = rows.users.iter_mut().find(|stored| stored.user_id == user.user_id);
                    *stored.unwrap() = user;
                }
            }
        }
        for write in plan.tasks {
            let task = Task::clone(&write.task);
            match rows.tasks.iter_mut().find(|(stored, ..)| stored.task_id == task.task_id) {
                Some(stored) => {
                    stored.0 = task;
                    stored.2 = write.output_params.unwrap_or_else(|| Arc::clone(&stored.2));
                }
                None => rows.tasks.push((task, write.input_params, write.output_params.unwrap_or("".into()))),
            }
        }
        rows.entries.extend(plan.entries.iter().map(|entry| Entry::clone(entry)));
        rows.requests.extend(plan.requests);
        ready(Transacted::Committed).boxed()
    }

    fn prune_commits(&mut self, _: Micros, _: u32) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0)).boxed()
    }
}

impl Reader for Memory {
    fn figures(&self) -> BoxFuture<'_, Result<crate::store::Figures, StoreError>> {
        ready(Ok(crate::store::Figures::default())).boxed()
    }

    fn now(&self) -> BoxFuture<'_, Result<Micros, StoreError>> {
        ready(Ok(NOW)).boxed()
    }

    fn users<'a>(&'a self, user_ids: &'a [UserId]) -> BoxFuture<'a, Result<Vec<User>, StoreError>> {
        self.read(|rows| rows.users.iter().filter(|user| user_ids.contains(&user.user_id)).copied().collect())
    }

    fn past_balance(
        &self,
        user_id: UserId,
        _: Micros,
    ) -> BoxFuture<'_, Result<Option<PastBalance>, StoreError>> {
        self.read(|rows| {
            let user = rows.users.iter().find(|user| user.user_id == user_id)?;
            let (points, cash) = (user.balance.points, user.balance.cash);
            Some(PastBalance { points, cash, entry_seq: user.entry_seq, time: None })
        })
    }

    fn task_owners<'a>(&'a self, task_ids: &'a [Text]) -> BoxFuture<'a, Result<Vec<TaskOwner>, StoreError>> {
        self.read(|rows| {
            let tasks = rows.tasks.iter().filter(|(task, ..)| task_ids.contains(&task.task_id));
            let owner = |task: &Task| TaskOwner {
                task_id: Arc::clone(&task.task_id),
                user_id: task.user_id,
                app_name: Arc::clone(&task.app_name),
            };
            tasks.map(|(task, ..)| owner(task)).collect()
        })
    }

    fn entries<'a>(
        &'a self,
        ranges: &'a [(UserId, EntryRange)],
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let asked = |entry: &&Entry| {
            ranges.iter().any(|(user_id, range)| {
                let end = range.first_seq + i64::from(range.count);
                entry.user_id == *user_id && (range.first_seq..end).contains(&entry.user_seq)
            })
        };
        self.read(|rows| rows.entries.iter().filter(asked).cloned().collect())
    }

    fn list_entries<'a>(
        &'a self,
        query: &'a EntryQuery,
        page: Page,
    ) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        let before = page.before.unwrap_or(i64::MAX);
        let matches = |entry: &&Entry| entry.user_id == query.user_id && entry.user_seq < before;
        self.read(|rows| {
            rows.entries.iter().rev().filter(matches).take(page.limit as usize).cloned().collect()
        })
    }

    fn list_points_details<'a>(
        &'a self,
        _: &'a PointsQuery,
        _: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, PointsDetail)>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn list_financial_transactions<'a>(
        &'a self,
        _: &'a FinancialQuery,
        _: Page,
    ) -> BoxFuture<'a, Result<Vec<(i64, FinancialTransaction)>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn list_users(
        &self,
        before: Option<UserCursor>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        let before = before.map_or(i64::MAX, |cursor| cursor.user_id);
        self.read(|rows| {
            let older = rows.users.iter().rev().filter(|user| user.user_id < before);
            older.take(limit as usize).copied().collect()
        })
    }

    fn task<'a>(&'a self, task_id: &'a str) -> BoxFuture<'a, Result<Option<TaskRecord>, StoreError>> {
        self.read(|rows| {
            let (task, input_params, output_params) =
                rows.tasks.iter().find(|(task, ..)| &*task.task_id == task_id)?.clone();
            Some(TaskRecord { id: 1, task, is_refund: false, input_params, output_params })
        })
    }

    fn list_tasks<'a>(
        &'a self,
        _: &'a TaskQuery,
        _: Page,
    ) -> BoxFuture<'a, Result<Vec<TaskRecord>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn due_holds(&self, _: u32) -> BoxFuture<'_, Result<Vec<(UserId, Text)>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn stuck_tasks(&self, _: Micros, _: i64, _: u32) -> BoxFuture<'_, Result<Vec<TaskRecord>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn key_pool(&self) -> BoxFuture<'_, Result<PoolRows, StoreError>> {
        ready(Ok(PoolRows { now: NOW, ..PoolRows::default() })).boxed()
    }

    fn accounts<'a>(&'a self, _: &'a [AccountId]) -> BoxFuture<'a, Result<Vec<AccountRecord>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn list_accounts(&self, _: Page) -> BoxFuture<'_, Result<Vec<AccountRecord>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn leases<'a>(&'a self, _: &'a [Text]) -> BoxFuture<'a, Result<Vec<LeaseRecord>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn due_leases(&self, _: u32) -> BoxFuture<'_, Result<Vec<Text>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn sealed_keys<'a>(
        &'a self,
        _: (AccountId, &'a str, &'a str),
        _: u32,
    ) -> BoxFuture<'a, Result<Vec<AccountKey>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn audit_log(
        &self,
        _: Option<AccountId>,
        _: Page,
    ) -> BoxFuture<'_, Result<Vec<AuditRecord>, StoreError>> {
        self.read(|_| Vec::new())
    }

    fn audit_snapshot(&self) -> BoxFuture<'_, Result<Box<dyn AuditSnapshot>, StoreError>> {
        unimplemented!("no test of the services audits")
    }
}
