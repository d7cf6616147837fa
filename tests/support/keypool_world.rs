//! The key pool's tables in memory, as a store would hold them, and what must hold of them at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keypool::{
    Account, AccountId, AccountKey, AccountStatus, AllowList, AuditLine, Circuit, Footprint, KeyWrite, Lease,
    Plan, Purpose, Sealed, Seen, Snapshot, View, Workspace,
};
use super::ledger::{Change, Micros, Text};

/// One second, in microseconds.
pub const S: i64 = 1_000_000;

/// When the accounts of [`account`] were added.
pub const ADDED: Micros = Micros(1_750_000_000_000_000);

/// The tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// With the credit that their accounts know.
    pub workspaces: BTreeMap<Text, Workspace>,
    pub accounts: BTreeMap<AccountId, Account>,
    /// The credit that each account's row holds, in nano-USD, where it is known.
    pub balances: BTreeMap<AccountId, i64>,
    pub keys: BTreeMap<(AccountId, Purpose, Text), AccountKey>,
    pub leases: BTreeMap<Text, Arc<Lease>>,
    pub audit: Vec<AuditLine>,
}

/// An enabled account with a workspace of its own.
pub fn account(account_id: AccountId, max_concurrency: u32) -> Account {
    Account {
        account_id,
        name: format!("account {account_id}").into(),
        workspace: format!("ws-{account_id}").into(),
        key_id: format!("key-{account_id}").into(),
        billing_key_id: None,
        status: AccountStatus::Enabled,
        max_concurrency,
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: "".into(),
        use_cnt: 0,
        error_cnt: 0,
        create_time: ADDED,
        update_time: ADDED,
        key: Circuit::default(),
    }
}

/// What stands in a table of a secret; nobody here opens it.
pub fn sealed(kek_id: &str, bytes: &str) -> Sealed {
    Sealed { kek_id: kek_id.into(), bytes: bytes.as_bytes().into() }
}

impl World {
    /// Adds an account with its key, and its workspace if that is new.
    pub fn add(&mut self, account: Account) {
        let name = Arc::clone(&account.workspace);
        self.workspaces.entry(Arc::clone(&name)).or_insert_with(|| Workspace::new(name));
        let key = AccountKey {
            account_id: account.account_id,
            purpose: Purpose::Lease,
            key_id: Arc::clone(&account.key_id),
            sealed: Some(sealed("kek-1", &account.key_id)),
            create_time: account.create_time,
            retire_time: None,
        };
        self.keys.insert((key.account_id, key.purpose, Arc::clone(&key.key_id)), key);
        self.accounts.insert(account.account_id, account);
    }

    /// Writes a workspace's credit, in nano-USD, to all its accounts.
    pub fn hear_balance(&mut self, workspace: &str, balance_nano_usd: Option<i64>) {
        let of_workspace = self.accounts.values().filter(|account| &*account.workspace == workspace);
        for account_id in of_workspace.map(|account| account.account_id) {
            match balance_nano_usd {
                Some(balance) => self.balances.insert(account_id, balance),
                None => self.balances.remove(&account_id),
            };
        }
        self.derive();
    }

    /// A workspace's credit is the most that any of its accounts knows of.
    fn derive(&mut self) {
        for (name, row) in &mut self.workspaces {
            let accounts = self.accounts.values().filter(|account| account.workspace == *name);
            let there = accounts.filter(|account| account.status != AccountStatus::Deleted);
            row.balance_nano_usd =
                there.filter_map(|account| self.balances.get(&account.account_id)).max().copied();
        }
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
        let texts = |names: &[&str]| names.iter().map(|name| Text::from(*name)).collect();
        let footprint = Footprint {
            accounts: accounts.iter().copied().collect(),
            leases: texts(leases),
            tasks: texts(tasks),
            ..Footprint::default()
        };
        self.read(&footprint, &BTreeMap::new(), now)
    }

    /// The rows of a footprint. `running_on` has the key of each task that is processing.
    pub fn read(&self, footprint: &Footprint, running_on: &BTreeMap<Text, Text>, now: Micros) -> Snapshot {
        let named: Vec<&Arc<Lease>> =
            footprint.leases.iter().filter_map(|lease_id| self.leases.get(lease_id)).collect();
        let newest: Vec<&Arc<Lease>> =
            footprint.tasks.iter().filter_map(|task_id| self.newest(task_id)).collect();
        let superseding: Vec<&Arc<Lease>> =
            named.iter().filter_map(|lease| self.newest(&lease.task_id)).collect();
        let running_on = footprint.tasks.iter().filter_map(|task_id| running_on.get(task_id));
        let key_ids: BTreeSet<&Text> = footprint.key_ids.iter().chain(running_on).collect();
        let key_owners: Vec<(Text, AccountId)> = key_ids
            .into_iter()
            .filter_map(|key_id| Some((Arc::clone(key_id), self.owner_of(key_id)?)))
            .collect();
        let of_leases = named.iter().chain(newest.iter().filter(|lease| lease.is_open()));
        let locked: BTreeSet<Text> = of_leases
            .map(|lease| lease.account_id)
            .chain(key_owners.iter().map(|(_, owner)| *owner))
            .chain(footprint.accounts.iter().copied())
            .filter_map(|id| self.accounts.get(&id))
            .map(|account| Arc::clone(&account.workspace))
            .chain(footprint.workspaces.iter().cloned())
            .collect();
        let is_locked = |id: &AccountId| locked.contains(&self.accounts[id].workspace);
        let open = self.leases.values().filter(|lease| lease.is_open() && is_locked(&lease.account_id));
        let leases: BTreeMap<&Text, &Arc<Lease>> = open
            .chain(named)
            .chain(newest)
            .chain(superseding)
            .map(|lease| (&lease.lease_id, lease))
            .collect();
        let last_id = self.accounts.keys().next_back().copied().unwrap_or(0);
        Snapshot {
            now,
            workspaces: locked.iter().filter_map(|name| self.workspaces.get(name)).cloned().collect(),
            accounts: self
                .accounts
                .values()
                .filter(|account| locked.contains(&account.workspace))
                .cloned()
                .collect(),
            leases: leases.into_values().cloned().collect(),
            keys: self.keys.values().filter(|key| is_locked(&key.account_id)).cloned().collect(),
            key_owners,
            fresh_ids: (1..=i64::from(footprint.new_accounts)).map(|number| last_id + number).collect(),
        }
    }

    /// The account that has or had a key for leasing.
    pub fn owner_of(&self, key_id: &str) -> Option<AccountId> {
        let mut keys = self.keys.values();
        keys.find(|key| key.purpose == Purpose::Lease && &*key.key_id == key_id).map(|key| key.account_id)
    }

    /// Everything locked.
    pub fn whole(&self, tasks: &[&str], now: Micros) -> Snapshot {
        let ids: Vec<_> = self.accounts.keys().copied().collect();
        let leases: Vec<_> = self.leases.keys().map(|id| &**id).collect();
        self.snapshot(&ids, &leases, tasks, now)
    }

    /// Writes a plan that fits.
    #[track_caller]
    pub fn apply(&mut self, plan: &Plan) {
        self.try_apply(plan).expect("the tables take the plan");
    }

    /// Writes a plan whole; what the tables' constraints forbid is answered, and nothing is written.
    pub fn try_apply(&mut self, plan: &Plan) -> Result<(), String> {
        if plan.is_empty() {
            return Ok(());
        }
        let mut after = self.clone();
        after.write(plan)?;
        match after.broken().into_iter().next() {
            Some(broken) => Err(broken),
            None => {
                *self = after;
                Ok(())
            }
        }
    }

    fn write(&mut self, plan: &Plan) -> Result<(), String> {
        for (change, workspace) in &plan.workspaces {
            let row = Workspace { balance_nano_usd: None, ..workspace.clone() };
            put(&mut self.workspaces, *change, Arc::clone(&workspace.workspace), row)?;
        }
        for (change, account) in &plan.accounts {
            put(&mut self.accounts, *change, account.account_id, account.clone())?;
        }
        for (workspace, balance_nano_usd) in &plan.balances {
            self.hear_balance(workspace, *balance_nano_usd);
        }
        for write in &plan.keys {
            match write {
                KeyWrite::Put(change, key) => {
                    let name = (key.account_id, key.purpose, Arc::clone(&key.key_id));
                    put(&mut self.keys, *change, name, key.clone())?;
                }
                KeyWrite::Reseal(reseal) => {
                    let name = (reseal.account_id, reseal.purpose, Arc::clone(&reseal.key_id));
                    let found = self.keys.get_mut(&name);
                    if let Some(key) = found.filter(|key| key.sealed.as_ref() == Some(&reseal.before)) {
                        key.sealed = Some(reseal.after.clone());
                    }
                }
            }
        }
        for (change, lease) in &plan.leases {
            put(&mut self.leases, *change, Arc::clone(&lease.lease_id), Arc::clone(lease))?;
        }
        self.audit.extend(plan.audit.iter().cloned());
        self.derive();
        Ok(())
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

    /// The constraints of the tables that are broken.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut live = BTreeSet::new();
        let mut fences = BTreeSet::new();
        for lease in self.leases.values() {
            if lease.is_open() && !live.insert(&lease.task_id) {
                broken.push(format!("task {} has two open leases", lease.task_id));
            }
            if lease.release_time.is_some() != lease.outcome.is_some() {
                broken.push(format!("{lease:?} is half closed"));
            }
            if lease.fence < 1 || !fences.insert((&lease.task_id, lease.fence)) {
                broken.push(format!("task {} has fence {} twice, or below 1", lease.task_id, lease.fence));
            }
            if lease.estimated_cost_nano_usd < 0 {
                broken.push(format!("{lease:?} costs less than nothing"));
            }
        }
        let (mut in_use, mut leased) = (BTreeSet::new(), BTreeSet::new());
        for account in self.accounts.values() {
            if !in_use.insert(&account.key_id) {
                broken.push(format!("two accounts have the key {}", account.key_id));
            }
            if account.weight < 1 || account.use_cnt < 0 || account.error_cnt < 0 {
                broken.push(format!("{account:?} has figures that cannot be"));
            }
        }
        for key in self.keys.values().filter(|key| key.purpose == Purpose::Lease) {
            if !leased.insert(&key.key_id) {
                broken.push(format!("the key {} is that of two accounts", key.key_id));
            }
        }
        let permille = self.workspaces.values().map(|row| row.vitals.error_permille);
        broken.extend(permille.filter(|permille| *permille > 1_000).map(|it| format!("{it} permille")));
        broken
    }

    /// What is wrong with the tables: constraints, and what the pool promises beyond them.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = self.broken();
        for account in self.accounts.values() {
            if !self.workspaces.contains_key(&account.workspace) {
                wrong.push(format!("{} is in no workspace", account.name));
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

/// An insert meets no row, an update meets one.
fn put<K: Ord + std::fmt::Debug, V>(
    table: &mut BTreeMap<K, V>,
    change: Change,
    key: K,
    row: V,
) -> Result<(), String> {
    if table.contains_key(&key) != (change == Change::Update) {
        return Err(format!("{change:?} of {key:?}"));
    }
    table.insert(key, row);
    Ok(())
}
