//! The rows of a batch: how each is read, written once, and kept in step with what is derived from it.

use std::sync::Arc;

use super::audit::{AuditLine, FieldChange, POOL, Subject};
use super::circuit::Circuit;
use super::desk::Observed;
use super::lease::Lease;
use super::pool::{Pool, Row, Shared};
use super::secret::{AccountKey, Purpose, Reseal};
use super::verdict::moved;
use super::workspace::{Workspace, limit_of};
use super::{Account, AccountId};
use crate::ledger::{Change, Text};

impl Pool<'_> {
    /// Writes a lease, and keeps its workspace's slots as its open leases say.
    pub(super) fn put_lease(&mut self, lease: Arc<Lease>, change: Option<Change>) {
        let before = self.leases.get(&lease.lease_id);
        let was_open = before.is_some_and(|row| row.value.is_open());
        // A row that this batch inserted stays an insert, however often it changes before the end.
        let change = match before.and_then(|row| row.change) {
            Some(Change::Insert) => Some(Change::Insert),
            before => change.or(before),
        };
        if was_open != lease.is_open() {
            let workspace = self.account(lease.account_id).map(|account| Arc::clone(&account.workspace));
            if let Some(shared) = workspace.and_then(|name| self.workspaces.get_mut(&name)) {
                let cost = lease.estimated_cost_nano_usd;
                if lease.is_open() {
                    shared.open = shared.open.saturating_add(1);
                    shared.committed_nano_usd = shared.committed_nano_usd.saturating_add(cost);
                } else {
                    shared.open = shared.open.saturating_sub(1);
                    shared.committed_nano_usd = shared.committed_nano_usd.saturating_sub(cost);
                }
            }
        }
        if self.newest_of(&lease.task_id).is_none_or(|newest| newest.fence <= lease.fence) {
            self.newest.insert(Arc::clone(&lease.task_id), Arc::clone(&lease.lease_id));
        }
        self.leases.insert(Arc::clone(&lease.lease_id), Row { value: lease, change });
    }

    pub(super) fn put_account(&mut self, account: Account) {
        let before = self.accounts.get(&account.account_id);
        if before.map(|row| &row.value) != Some(&account) {
            let change = change_of(before);
            self.accounts.insert(account.account_id, Row { value: account, change });
        }
    }

    pub(super) fn put_key(&mut self, key: AccountKey) {
        let name = (key.account_id, key.purpose, Arc::clone(&key.key_id));
        let before = self.keys.get(&name);
        if before.map(|row| &row.value) != Some(&key) {
            let change = change_of(before);
            self.keys.insert(name, Row { value: key, change });
        }
    }

    /// The keys that an account has or had.
    pub(super) fn keys_of(&self, account_id: AccountId) -> impl Iterator<Item = &AccountKey> {
        self.keys.values().map(|row| &row.value).filter(move |key| key.account_id == account_id)
    }

    /// A key among the rows.
    pub fn key(&self, account_id: AccountId, purpose: Purpose, key_id: &Text) -> Option<&AccountKey> {
        self.keys.get(&(account_id, purpose, Arc::clone(key_id))).map(|row| &row.value)
    }

    /// The account that has or had a key for leasing, if it was looked up.
    pub fn owner_of(&self, key_id: &Text) -> Option<AccountId> {
        self.key_owners.get(key_id).copied()
    }

    pub(super) fn own(&mut self, key_id: &Text, account_id: AccountId) {
        self.key_owners.insert(Arc::clone(key_id), account_id);
    }

    /// An id for a new account.
    ///
    /// # Panics
    /// If the batch adds more accounts than its footprint asked ids for.
    #[allow(clippy::expect_used, reason = "the footprint counts each account that its commands may add")]
    pub(super) fn fresh_id(&mut self) -> AccountId {
        self.fresh_ids.pop_front().expect("an id for each account that may be added")
    }

    /// How many open leases an account has itself.
    pub(super) fn in_flight_of(&self, account_id: AccountId) -> u32 {
        let leases = self.leases.values().map(|row| &row.value);
        let open = leases.filter(|lease| lease.is_open() && lease.account_id == account_id).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    /// The workspaces of the batch as they stand.
    pub(super) fn observed(&self) -> impl Iterator<Item = Observed> + '_ {
        self.workspaces.values().map(|shared| Observed {
            workspace: shared.row.clone(),
            accounts: self
                .accounts()
                .filter(|account| account.workspace == shared.row.workspace)
                .cloned()
                .collect(),
            in_flight: shared.open,
            committed_nano_usd: shared.committed_nano_usd,
        })
    }

    /// Answers whether it is to be written: of several for one key only the first is.
    pub(super) fn reseal(&mut self, reseal: &Reseal) -> bool {
        let name = (reseal.account_id, reseal.purpose, Arc::clone(&reseal.key_id));
        let is_first = !self.reseals.contains_key(&name);
        if is_first {
            self.reseals.insert(name, reseal.clone());
        }
        is_first
    }

    /// Adds a workspace, unless it is among the rows.
    pub(super) fn open_workspace(&mut self, workspace: &Text) {
        self.workspaces
            .entry(Arc::clone(workspace))
            .or_insert_with(|| Shared::of(Workspace::new(Arc::clone(workspace)), Some(Change::Insert)));
    }

    /// Notes the balance of a workspace; it is written even if it was known, since an account may be new to it.
    pub(super) fn put_balance(&mut self, workspace: &Text, balance_nano_usd: Option<i64>) {
        if let Some(shared) = self.workspaces.get_mut(workspace) {
            shared.row.balance_nano_usd = balance_nano_usd;
            shared.balance_heard = true;
        }
    }

    pub(super) fn change_workspace(&mut self, workspace: &Text, change: impl FnOnce(&mut Workspace)) {
        let Some(shared) = self.workspaces.get_mut(workspace) else { return };
        let before = shared.row.clone();
        change(&mut shared.row);
        if shared.row != before {
            shared.change = shared.change.or(Some(Change::Update));
        }
    }

    /// Tells the accounts of a workspace, of which one is new to it, what is known of its credit.
    pub(super) fn tell_balance(&mut self, workspace: &Text) {
        let known = self.workspace(workspace).and_then(|row| row.balance_nano_usd);
        self.put_balance(workspace, known);
    }

    /// Changes a workspace's circuit as an operator's deed on an account has it, and notes that.
    pub(super) fn change_circuit(
        &mut self,
        workspace: &Text,
        account_id: AccountId,
        (actor, reason): (&str, &str),
        change: impl FnOnce(&mut Circuit),
    ) {
        let Some(before) = self.workspace(workspace).map(|row| row.circuit.clone()) else { return };
        let mut after = before.clone();
        change(&mut after);
        let fields = moved(&before, &after);
        self.change_workspace(workspace, |row| row.circuit = after);
        if !fields.is_empty() {
            let subject = Subject::Workspace(Arc::clone(workspace), account_id);
            self.note(actor, subject, reason.to_owned(), fields);
        }
    }

    /// Derives a workspace's limit and slots anew, after one of its accounts has changed.
    pub(super) fn recount(&mut self, workspace: &Text) {
        let is_member =
            |id: AccountId| self.account(id).is_some_and(|account| account.workspace == *workspace);
        let limit = limit_of(self.accounts().filter(|account| account.workspace == *workspace));
        let leases = self.leases.values().map(|row| &row.value);
        let (mut open, mut committed) = (0_u32, 0_i64);
        for lease in leases.filter(|lease| lease.is_open() && is_member(lease.account_id)) {
            open = open.saturating_add(1);
            committed = committed.saturating_add(lease.estimated_cost_nano_usd);
        }
        if let Some(shared) = self.workspaces.get_mut(workspace) {
            (shared.limit, shared.open, shared.committed_nano_usd) = (limit, open, committed);
        }
    }

    pub(super) fn note(&mut self, actor: &str, subject: Subject, reason: String, changes: Vec<FieldChange>) {
        self.audit.push(AuditLine {
            time: self.now,
            actor: actor.into(),
            subject,
            reason: reason.into(),
            changes,
        });
    }

    pub(super) fn note_by_pool(&mut self, subject: Subject, reason: String, changes: Vec<FieldChange>) {
        self.note(POOL, subject, reason, changes);
    }
}

/// A row that this batch inserted stays an insert, however often it changes before the end.
fn change_of<T>(before: Option<&Row<T>>) -> Option<Change> {
    match before {
        None => Some(Change::Insert),
        Some(row) => row.change.or(Some(Change::Update)),
    }
}
