//! The key pool's tables in memory, as a store would hold them, and what must hold of them at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keypool::{
    Account, AccountId, AccountStatus, AllowList, Circuit, Lease, Plan, Seen, Snapshot, View, Workspace,
};
use super::ledger::{Change, Micros, Text};

/// One second, in microseconds.
pub const S: i64 = 1_000_000;

/// The tables.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub workspaces: BTreeMap<Text, Workspace>,
    pub accounts: BTreeMap<AccountId, Account>,
    pub leases: BTreeMap<Text, Arc<Lease>>,
}

/// An enabled account with a workspace of its own.
pub fn account(account_id: AccountId, max_concurrency: u32) -> Account {
    Account {
        account_id,
        name: format!("account {account_id}").into(),
        workspace: format!("ws-{account_id}").into(),
        key_id: format!("key-{account_id}").into(),
        status: AccountStatus::Enabled,
        max_concurrency,
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: "".into(),
        use_cnt: 0,
        error_cnt: 0,
        key: Circuit::default(),
    }
}

impl World {
    /// Adds an account, and its workspace if that is new.
    pub fn add(&mut self, account: Account) {
        let name = Arc::clone(&account.workspace);
        self.workspaces.entry(Arc::clone(&name)).or_insert_with(|| Workspace::new(name));
        self.accounts.insert(account.account_id, account);
    }

    /// The workspace of an account.
    pub fn workspace_of(&self, account_id: AccountId) -> &Workspace {
        &self.workspaces[&self.accounts[&account_id].workspace]
    }

    /// The newest lease of a task.
    pub fn newest(&self, task_id: &str) -> Option<&Arc<Lease>> {
        self.leases.values().filter(|lease| &*lease.task_id == task_id).max_by_key(|lease| lease.fence)
    }

    /// The open leases of a workspace.
    pub fn open(&self, workspace: &str) -> u32 {
        let of_workspace = |lease: &&Arc<Lease>| *self.accounts[&lease.account_id].workspace == *workspace;
        self.leases.values().filter(|lease| lease.is_open()).filter(of_workspace).count() as u32
    }

    /// Locks the workspaces of these accounts and of the leases named, and reads what a batch needs of them.
    pub fn snapshot(&self, accounts: &[AccountId], leases: &[&str], tasks: &[&str], now: Micros) -> Snapshot {
        let newest = tasks.iter().filter_map(|task_id| self.newest(task_id));
        let named: Vec<_> = newest.chain(leases.iter().filter_map(|id| self.leases.get(*id))).collect();
        let of_named = named.iter().filter(|lease| lease.is_open()).map(|lease| lease.account_id);
        let locked: BTreeSet<Text> = of_named
            .chain(leases.iter().filter_map(|id| self.leases.get(*id)).map(|lease| lease.account_id))
            .chain(accounts.iter().copied())
            .filter_map(|id| self.accounts.get(&id))
            .map(|account| Arc::clone(&account.workspace))
            .collect();
        let is_locked = |id: &AccountId| locked.contains(&self.accounts[id].workspace);
        let mut rows: BTreeMap<Text, Arc<Lease>> = BTreeMap::new();
        let open = self.leases.values().filter(|lease| lease.is_open() && is_locked(&lease.account_id));
        for lease in open.chain(named) {
            rows.insert(Arc::clone(&lease.lease_id), Arc::clone(lease));
        }
        Snapshot {
            now,
            workspaces: locked.iter().map(|name| self.workspaces[name].clone()).collect(),
            accounts: self
                .accounts
                .values()
                .filter(|account| locked.contains(&account.workspace))
                .cloned()
                .collect(),
            leases: rows.into_values().collect(),
        }
    }

    /// Everything locked.
    pub fn whole(&self, tasks: &[&str], now: Micros) -> Snapshot {
        let ids: Vec<_> = self.accounts.keys().copied().collect();
        let leases: Vec<_> = self.leases.keys().map(|id| &**id).collect();
        self.snapshot(&ids, &leases, tasks, now)
    }

    /// Writes a plan.
    pub fn apply(&mut self, plan: &Plan) {
        for workspace in &plan.workspaces {
            self.workspaces.insert(Arc::clone(&workspace.workspace), workspace.clone());
        }
        for account in &plan.accounts {
            self.accounts.insert(account.account_id, account.clone());
        }
        for (change, lease) in &plan.leases {
            let before = self.leases.insert(Arc::clone(&lease.lease_id), Arc::clone(lease));
            assert_eq!(*change == Change::Insert, before.is_none(), "{change:?} of {}", lease.lease_id);
        }
    }

    /// Shows a view the whole pool.
    pub fn refresh(&self, view: &mut View, now: Micros) {
        let accounts: BTreeMap<&Text, Vec<Account>> =
            self.accounts.values().fold(BTreeMap::new(), |mut of, account| {
                of.entry(&account.workspace).or_default().push(account.clone());
                of
            });
        let seen = self.workspaces.values().map(|workspace| Seen {
            workspace,
            accounts: accounts.get(&workspace.workspace).map_or(&[], Vec::as_slice),
            in_flight: self.open(&workspace.workspace),
            committed_nano_usd: 0,
        });
        view.refresh(seen, now);
    }

    /// What is wrong with the tables.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut open_of_task: BTreeMap<&Text, u32> = BTreeMap::new();
        let mut fences = BTreeSet::new();
        for lease in self.leases.values() {
            if lease.is_open() {
                *open_of_task.entry(&lease.task_id).or_default() += 1;
            }
            if lease.release_time.is_some() != lease.outcome.is_some() {
                wrong.push(format!("{lease:?} is half closed"));
            }
            if !fences.insert((&lease.task_id, lease.fence)) {
                wrong.push(format!("task {} has fence {} twice", lease.task_id, lease.fence));
            }
        }
        for (task, open) in open_of_task {
            if open > 1 {
                wrong.push(format!("task {task} has {open} open leases"));
            }
        }
        let of_keys = self.accounts.values().map(|account| (&account.name, &account.key));
        let of_workspaces = self.workspaces.values().map(|row| (&row.workspace, &row.circuit));
        for (name, circuit) in of_keys.chain(of_workspaces) {
            let probe = circuit.out.as_ref().and_then(|out| out.probe.as_ref());
            if probe.is_some_and(|id| !self.leases.get(id).is_some_and(|lease| lease.is_open())) {
                wrong.push(format!("{name} waits for a probe that is over: {circuit:?}"));
            }
        }
        wrong
    }
}
