//! The model's reader: every question answered from the maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use scrip::keypool::{AccountId, AccountKey, AccountStatus, Lease, Purpose};
use scrip::ledger::{Entry, EntryRange, HoldState, Micros, Purse, RequestRecord, Text, User, UserId};
use scrip::store::rows::{Range, StoredPoints, Usage};
use scrip::store::{
    AccountRecord, AuditRecord, AuditSnapshot, EntryQuery, Figures, FinancialQuery, FinancialTransaction,
    LeaseRecord, Page, PastBalance, PointsDetail, PointsQuery, PoolRows, Reader, StoreError, StoredEntry,
    TaskOwner, TaskQuery, TaskRecord, UserCursor,
};

use super::keypool_world::World as PoolWorld;
use super::world::{EntryRow, TaskRow, World};
use super::{Shared, Tables};

pub(super) struct ModelReader(pub(super) Arc<Shared>);

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl ModelReader {
    fn answer<'a, T: Send + 'a>(&'a self, of: impl FnOnce(&World) -> T + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            self.0.faults.read()?;
            Ok(of(&self.0.tables().world))
        })
    }

    fn answer_pool<'a, T: Send + 'a>(
        &'a self,
        of: impl FnOnce(&PoolWorld) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            self.0.faults.read()?;
            Ok(of(&self.0.tables().pool))
        })
    }

    fn now_of(&self) -> Micros {
        self.0.clock.now()
    }
}

fn entries_of(world: &World, user_id: UserId) -> impl DoubleEndedIterator<Item = &EntryRow> {
    world.entries().range((user_id, 0)..=(user_id, i64::MAX)).map(|(_, row)| row)
}

fn within(range: Range, time: Micros) -> bool {
    range.start.is_none_or(|start| start <= time) && range.end.is_none_or(|end| time < end)
}

/// Whether a filter that may be absent lets a value through.
fn lets<T: PartialEq>(filter: &Option<T>, value: &T) -> bool {
    filter.as_ref().is_none_or(|wanted| wanted == value)
}

fn page_of<T>(page: Page, key: impl Fn(&T) -> i64, newest_first: impl Iterator<Item = T>) -> Vec<T> {
    let past = |row: &T| page.before.is_none_or(|before| key(row) < before);
    newest_first.filter(past).take(page.limit as usize).collect()
}

fn record(row: &TaskRow) -> TaskRecord {
    TaskRecord {
        id: row.id,
        task: row.task.clone(),
        is_refund: !row.task.refunded.is_zero(),
        input_params: Text::clone(&row.input_params),
        output_params: Text::clone(&row.output_params),
    }
}

fn points_detail(row: &EntryRow) -> Option<(i64, PointsDetail)> {
    let entry = &row.entry;
    let detail = PointsDetail {
        id: row.points_id?,
        user_id: entry.user_id,
        points: entry.amount,
        order_id: Text::clone(&entry.order_id),
        title: Text::clone(&entry.title),
        source_type: entry.source_type,
        balance_before: entry.balance_before,
        balance_after: entry.balance_after,
        created_at: entry.time,
    };
    Some((entry.user_seq, detail))
}

fn financial(row: &EntryRow) -> (i64, FinancialTransaction) {
    let entry = &row.entry;
    let transaction = FinancialTransaction {
        id: row.id,
        user_id: entry.user_id,
        money: entry.amount,
        order_id: Text::clone(&entry.order_id),
        title: Text::clone(&entry.title),
        deployment_uuid: Text::clone(&entry.deployment_uuid),
        time: entry.time,
        transaction_type: entry.transaction_type().code(),
        pay_type: entry.pay_type,
        is_cash: entry.purse.is_cash(),
    };
    (entry.user_seq, transaction)
}

fn stored(row: &EntryRow) -> StoredEntry {
    let entry = &row.entry;
    let request_id = entry.request_id.as_ref().map(ToString::to_string);
    StoredEntry {
        user_id: entry.user_id,
        user_seq: entry.user_seq,
        operation: entry.operation.to_string(),
        source_type: entry.source_type.to_string(),
        transaction_type: entry.transaction_type().code(),
        is_cash: entry.purse.is_cash(),
        money: entry.amount,
        balance_before: entry.balance_before,
        balance_after: entry.balance_after,
        order_id: entry.order_id.to_string(),
        title: entry.title.to_string(),
        deployment_uuid: entry.deployment_uuid.to_string(),
        pay_type: entry.pay_type,
        time: entry.time,
        request_id: request_id.clone(),
        actor: entry.actor.to_string(),
        entry_hash: entry.hash,
        points: row.points_id.map(|_| StoredPoints {
            points: entry.amount,
            order_id: entry.order_id.to_string(),
            title: entry.title.to_string(),
            source_type: entry.source_type.to_string(),
            balance_before: entry.balance_before,
            balance_after: entry.balance_after,
            created_at: entry.time,
            request_id,
            actor: entry.actor.to_string(),
        }),
    }
}

fn past(world: &World, user_id: UserId, at: Micros) -> Option<PastBalance> {
    world.users().get(&user_id)?;
    let mut past = PastBalance { points: 0, cash: 0, entry_seq: 0, time: None };
    for row in entries_of(world, user_id).take_while(|row| row.entry.time <= at) {
        match row.entry.purse {
            Purse::Points => past.points = row.entry.balance_after,
            Purse::Cash => past.cash = row.entry.balance_after,
        }
        (past.entry_seq, past.time) = (row.entry.user_seq, Some(row.entry.time));
    }
    Some(past)
}

fn due(tables: &Tables, now: Micros, limit: u32) -> Vec<(UserId, Text)> {
    let is_leased = |task_id: &Text| {
        let newest = tables.pool.newest(task_id);
        newest.is_some_and(|lease| lease.is_open() && lease.expire_time > now)
    };
    let mut due: Vec<_> = tables
        .world
        .tasks()
        .values()
        .filter(|row| row.task.hold_state == Some(HoldState::Open))
        .filter_map(|row| {
            Some((row.task.hold_expire_time?, row.task.user_id, Text::clone(&row.task.task_id)))
        })
        .filter(|(expiry, _, task_id)| *expiry <= now && !is_leased(task_id))
        .collect();
    due.sort();
    due.into_iter().take(limit as usize).map(|(_, user_id, task_id)| (user_id, task_id)).collect()
}

/// Task rows by id.
fn by_id(world: &World) -> Vec<&TaskRow> {
    let mut rows: Vec<&TaskRow> = world.tasks().values().collect();
    rows.sort_by_key(|row| row.id);
    rows
}

impl Reader for ModelReader {
    fn now(&self) -> Answer<'_, Micros> {
        self.answer(|_| self.now_of())
    }

    fn users<'a>(&'a self, user_ids: &'a [UserId]) -> Answer<'a, Vec<User>> {
        self.answer(|world| {
            world.users().values().filter(|user| user_ids.contains(&user.user_id)).copied().collect()
        })
    }

    fn past_balance(&self, user_id: UserId, at: Micros) -> Answer<'_, Option<PastBalance>> {
        self.answer(move |world| past(world, user_id, at))
    }

    fn task_owners<'a>(&'a self, task_ids: &'a [Text]) -> Answer<'a, Vec<TaskOwner>> {
        self.answer(|world| {
            let rows = world.tasks().iter().filter(|(task_id, _)| task_ids.contains(task_id));
            let owner = |row: &TaskRow| TaskOwner {
                task_id: Text::clone(&row.task.task_id),
                user_id: row.task.user_id,
                app_name: Text::clone(&row.task.app_name),
            };
            rows.map(|(_, row)| owner(row)).collect()
        })
    }

    fn entries<'a>(&'a self, ranges: &'a [(UserId, EntryRange)]) -> Answer<'a, Vec<Entry>> {
        let asked = |entry: &Entry| {
            ranges.iter().any(|(user_id, range)| {
                let end = range.first_seq.saturating_add(range.count.into());
                entry.user_id == *user_id && (range.first_seq..end).contains(&entry.user_seq)
            })
        };
        self.answer(move |world| {
            world.entries().values().map(|row| &row.entry).filter(|entry| asked(entry)).cloned().collect()
        })
    }

    fn list_entries<'a>(&'a self, query: &'a EntryQuery, page: Page) -> Answer<'a, Vec<Entry>> {
        self.answer(move |world| {
            let rows = entries_of(world, query.user_id).rev().map(|row| row.entry.clone()).filter(|entry| {
                lets(&query.purse, &entry.purse)
                    && lets(&query.operation, &entry.operation)
                    && lets(&query.order_id, &entry.order_id)
                    && within(query.range, entry.time)
            });
            page_of(page, |entry| entry.user_seq, rows)
        })
    }

    fn list_points_details<'a>(
        &'a self,
        query: &'a PointsQuery,
        page: Page,
    ) -> Answer<'a, Vec<(i64, PointsDetail)>> {
        self.answer(move |world| {
            let rows = entries_of(world, query.user_id).rev().filter_map(points_detail).filter(|(_, row)| {
                lets(&query.source_type, &row.source_type)
                    && lets(&query.order_id, &row.order_id)
                    && within(query.range, row.created_at)
            });
            page_of(page, |(user_seq, _)| *user_seq, rows)
        })
    }

    fn list_financial_transactions<'a>(
        &'a self,
        query: &'a FinancialQuery,
        page: Page,
    ) -> Answer<'a, Vec<(i64, FinancialTransaction)>> {
        self.answer(move |world| {
            let rows = entries_of(world, query.user_id)
                .rev()
                .map(financial)
                .filter(|(_, row)| lets(&query.order_id, &row.order_id) && within(query.range, row.time));
            page_of(page, |(user_seq, _)| *user_seq, rows)
        })
    }

    fn list_users(&self, before: Option<UserCursor>, limit: u32) -> Answer<'_, Vec<User>> {
        let answer = self.answer(move |world| {
            let mut users: Vec<User> = world.users().values().copied().collect();
            users.sort_by_key(|user| std::cmp::Reverse((user.create_time, user.user_id)));
            let before = before.map(|cursor| (cursor.create_time, cursor.user_id));
            users.retain(|user| before.is_none_or(|before| (user.create_time, user.user_id) < before));
            users.truncate(limit as usize);
            users
        });
        Box::pin(async move {
            self.0.faults.list().await;
            answer.await
        })
    }

    fn task<'a>(&'a self, task_id: &'a str) -> Answer<'a, Option<TaskRecord>> {
        self.answer(move |world| world.tasks().get(task_id).map(record))
    }

    fn list_tasks<'a>(&'a self, query: &'a TaskQuery, page: Page) -> Answer<'a, Vec<TaskRecord>> {
        self.answer(move |world| {
            let rows = by_id(world).into_iter().rev().filter(|row| {
                lets(&query.user_id, &row.task.user_id)
                    && lets(&query.status, &row.task.status)
                    && lets(&query.app_name, &row.task.app_name)
                    && lets(&query.key_id, &row.task.key_id)
                    && within(query.range, row.task.create_time)
            });
            page_of(page, |row| row.id, rows.map(record))
        })
    }

    fn due_holds(&self, limit: u32) -> Answer<'_, Vec<(UserId, Text)>> {
        Box::pin(async move {
            self.0.faults.read()?;
            Ok(due(&self.0.tables(), self.now_of(), limit))
        })
    }

    fn figures(&self) -> Answer<'_, Figures> {
        Box::pin(async move {
            self.0.faults.read()?;
            let (tables, now) = (self.0.tables(), self.now_of());
            let held = tables.world.tasks().values().map(|row| &row.task);
            let held: Vec<_> = held.filter(|task| task.hold_state == Some(HoldState::Open)).collect();
            let open: Vec<_> = tables.pool.leases.values().filter(|lease| lease.is_open()).collect();
            let overdue = open.iter().filter(|lease| lease.expire_time <= now).count();
            Ok(Figures {
                holds: held.len() as i64,
                held_points: held.iter().map(|task| task.held.points + task.held.cash).sum(),
                holds_overdue: due(&tables, now, u32::MAX).len() as i64,
                leases: open.len() as i64,
                leases_overdue: overdue as i64,
                bytes: 0,
            })
        })
    }

    fn stuck_tasks(&self, created_before: Micros, after: i64, limit: u32) -> Answer<'_, Vec<TaskRecord>> {
        self.answer(move |world| {
            let rows = by_id(world).into_iter().filter(|row| {
                let stuck = row.task.money > 0 && row.task.status.is_open();
                stuck && row.id > after && row.task.create_time < created_before
            });
            rows.take(limit as usize).map(record).collect()
        })
    }

    fn key_pool(&self) -> Answer<'_, PoolRows> {
        self.answer_pool(|pool| pool_rows(pool, self.now_of(), false))
    }

    fn accounts<'a>(&'a self, account_ids: &'a [AccountId]) -> Answer<'a, Vec<AccountRecord>> {
        self.answer_pool(|pool| {
            account_ids.iter().filter_map(|account_id| account_record(pool, *account_id)).collect()
        })
    }

    fn list_accounts(&self, page: Page) -> Answer<'_, Vec<AccountRecord>> {
        self.answer_pool(move |pool| {
            let records = pool.accounts.keys().rev().filter_map(|id| account_record(pool, *id));
            page_of(page, |record| record.account.account_id, records)
        })
    }

    fn leases<'a>(&'a self, lease_ids: &'a [Text]) -> Answer<'a, Vec<LeaseRecord>> {
        self.answer_pool(|pool| {
            let leases = lease_ids.iter().filter_map(|lease_id| pool.leases.get(lease_id));
            leases.map(|lease| lease_record(pool, lease)).collect()
        })
    }

    fn due_leases(&self, limit: u32) -> Answer<'_, Vec<Text>> {
        self.answer_pool(move |pool| {
            let now = self.now_of();
            let mut due: Vec<_> = pool.leases.values().filter(|lease| lease.has_lapsed(now)).collect();
            due.sort_by_key(|lease| (lease.expire_time, Text::clone(&lease.lease_id)));
            due.into_iter().take(limit as usize).map(|lease| Text::clone(&lease.lease_id)).collect()
        })
    }

    fn sealed_keys<'a>(
        &'a self,
        after: (AccountId, &'a str, &'a str),
        limit: u32,
    ) -> Answer<'a, Vec<AccountKey>> {
        self.answer_pool(move |pool| {
            let place = |key: &AccountKey| (key.account_id, key.purpose.as_str(), Text::clone(&key.key_id));
            let after = (after.0, after.1, Text::from(after.2));
            let past = |key: &&AccountKey| place(key) > after && key.sealed.is_some();
            let mut keys: Vec<AccountKey> = pool.keys.values().filter(past).cloned().collect();
            keys.sort_by_key(place);
            keys.truncate(limit as usize);
            keys
        })
    }

    fn audit_log(&self, account_id: Option<AccountId>, page: Page) -> Answer<'_, Vec<AuditRecord>> {
        self.answer_pool(move |pool| {
            let rows = pool.audit.iter().enumerate().rev().map(|(index, line)| AuditRecord {
                id: index as i64 + 1,
                time: line.time,
                actor: Text::clone(&line.actor),
                subject_kind: line.subject.kind().into(),
                subject: line.subject.name(),
                account_id: line.subject.account_id(),
                reason: Text::clone(&line.reason),
                changes: line.changes_json().into(),
            });
            page_of(page, |row| row.id, rows.filter(|row| lets(&account_id, &row.account_id)))
        })
    }

    fn audit_snapshot(&self) -> Answer<'_, Box<dyn AuditSnapshot>> {
        Box::pin(async move {
            self.0.faults.read()?;
            let tables = self.0.tables();
            let (world, pool) = (tables.world.clone(), tables.pool.clone());
            Ok(Box::new(ModelSnapshot(world, pool, self.now_of())) as Box<dyn AuditSnapshot>)
        })
    }
}

/// Everything, as of one moment.
struct ModelSnapshot(World, PoolWorld, Micros);

fn ready<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl AuditSnapshot for ModelSnapshot {
    fn estimate(&mut self) -> Answer<'_, u64> {
        let rows =
            self.0.users().len() + self.0.entries().len() + self.0.tasks().len() + self.0.requests().len();
        ready(rows as u64)
    }

    fn users(&mut self, after: UserId, limit: u32) -> Answer<'_, Vec<User>> {
        let users = self.0.users().values().filter(|user| user.user_id > after);
        ready(users.take(limit as usize).copied().collect())
    }

    fn entries(&mut self, after: (UserId, i64), limit: u32) -> Answer<'_, Vec<StoredEntry>> {
        let rows = self.0.entries().iter().filter(|(key, _)| **key > after);
        ready(rows.take(limit as usize).map(|(_, row)| stored(row)).collect())
    }

    fn orphan_points(&mut self, _after: (UserId, i64), _limit: u32) -> Answer<'_, Vec<(UserId, i64)>> {
        // A points row is part of its entry here: there can be none without.
        ready(Vec::new())
    }

    fn tasks(&mut self, after: (UserId, i64), limit: u32) -> Answer<'_, Vec<TaskRecord>> {
        let mut rows = by_id(&self.0);
        rows.sort_by_key(|row| (row.task.user_id, row.id));
        let rows = rows.into_iter().filter(|row| (row.task.user_id, row.id) > after);
        ready(rows.take(limit as usize).map(record).collect())
    }

    fn requests<'a>(&'a mut self, after: (UserId, &'a str), limit: u32) -> Answer<'a, Vec<RequestRecord>> {
        let rows = self.0.requests().iter().filter(|((user_id, id), _)| (*user_id, &**id) > after);
        ready(rows.take(limit as usize).map(|(_, record)| record.clone()).collect())
    }

    fn leases<'a>(&'a mut self, after: (&'a str, i64), limit: u32) -> Answer<'a, Vec<Lease>> {
        let mut leases: Vec<&Arc<Lease>> =
            self.1.leases.values().filter(|lease| (&*lease.task_id, lease.fence) > after).collect();
        leases.sort_by_key(|lease| (Text::clone(&lease.task_id), lease.fence));
        ready(leases.into_iter().take(limit as usize).map(|lease| Lease::clone(lease)).collect())
    }

    fn key_pool(&mut self) -> Answer<'_, PoolRows> {
        ready(pool_rows(&self.1, self.2, true))
    }
}

fn pool_rows(pool: &PoolWorld, now: Micros, with_deleted: bool) -> PoolRows {
    let is_there = |status: AccountStatus| with_deleted || status != AccountStatus::Deleted;
    let mut usage: BTreeMap<&Text, Usage> = BTreeMap::new();
    for lease in pool.leases.values().filter(|lease| lease.is_open()) {
        let workspace = &pool.accounts[&lease.account_id].workspace;
        let none = Usage { workspace: Text::clone(workspace), in_flight: 0, committed_nano_usd: 0 };
        let usage = usage.entry(workspace).or_insert(none);
        usage.in_flight += 1;
        usage.committed_nano_usd = usage.committed_nano_usd.saturating_add(lease.estimated_cost_nano_usd);
    }
    PoolRows {
        now,
        workspaces: pool.workspaces.values().cloned().collect(),
        accounts: pool.accounts.values().filter(|account| is_there(account.status)).cloned().collect(),
        usage: usage.into_values().collect(),
    }
}

fn account_record(pool: &PoolWorld, account_id: AccountId) -> Option<AccountRecord> {
    let account = pool.accounts.get(&account_id)?;
    let own = pool.leases.values().filter(|lease| lease.is_open() && lease.account_id == account_id);
    (account.status != AccountStatus::Deleted).then(|| AccountRecord {
        account: account.clone(),
        workspace: pool.workspaces[&account.workspace].clone(),
        in_flight: own.count() as u32,
    })
}

fn lease_record(pool: &PoolWorld, lease: &Lease) -> LeaseRecord {
    let key = pool.keys.get(&(lease.account_id, Purpose::Lease, Text::clone(&lease.key_id)));
    LeaseRecord {
        lease: lease.clone(),
        account_name: Text::clone(&pool.accounts[&lease.account_id].name),
        key: key.and_then(|key| key.sealed.clone()),
    }
}
