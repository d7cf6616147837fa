//! What operators and reconciliation change: accounts added, changed and deleted, their keys, workspaces and balances.

use std::sync::Arc;

use super::audit::{FieldChange, Subject, changes};
use super::circuit::Circuit;
use super::pool::{Pool, Unknown};
use super::secret::{AccountKey, NewKey, Purpose, Reseal};
use super::verdict::moved;
use super::{Account, AccountId, AccountStatus, AllowList};
use crate::ledger::{Micros, Rejection, Text};

/// The reason noted where an account is added: a caller gives none.
const ADDED: &str = "added";

/// An account to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Its name, for people.
    pub name: Text,
    /// The key that is leased.
    pub key: NewKey,
    /// The key for fal's platform API, if it has one of its own.
    pub billing_key: Option<NewKey>,
    /// The workspace it shares; empty for one of its own.
    pub workspace: Text,
    /// The most jobs its workspace may run at once, ≥ 1.
    pub max_concurrency: u32,
    /// Its tier: 0 is tried first.
    pub priority: i32,
    /// How much of the work it shall carry, in percent of its share by limit; 1 to 10,000.
    pub weight: u32,
    /// The models it may run.
    pub allowed_apps: AllowList,
    /// Notes.
    pub remark: Text,
    /// Its credit at fal, in nano-USD; `None` if unknown.
    pub balance_nano_usd: Option<i64>,
}

impl NewAccount {
    /// The workspace it will be in. Where none is told the key's id names one: no other account has had it.
    pub fn workspace(&self) -> &Text {
        if self.workspace.is_empty() { &self.key.key_id } else { &self.workspace }
    }

    /// The account as it is added. One that was deleted keeps its counters, and leases of that time are no evidence
    /// against the key it had: its secret may be another now.
    fn account(&self, account_id: AccountId, before: Option<&Account>, now: Micros) -> Account {
        let same_key = before.filter(|account| account.key_id == self.key.key_id);
        let mut key = same_key.map_or_else(Circuit::default, |account| account.key.clone());
        key.forgive(now);
        Account {
            account_id,
            name: Arc::clone(&self.name),
            workspace: Arc::clone(self.workspace()),
            key_id: Arc::clone(&self.key.key_id),
            billing_key_id: self.billing_key.as_ref().map(|key| Arc::clone(&key.key_id)),
            status: AccountStatus::Enabled,
            max_concurrency: self.max_concurrency,
            priority: self.priority,
            weight: self.weight,
            allowed_apps: self.allowed_apps.clone(),
            remark: Arc::clone(&self.remark),
            use_cnt: before.map_or(0, |account| account.use_cnt),
            error_cnt: before.map_or(0, |account| account.error_cnt),
            create_time: before.map_or(now, |account| account.create_time),
            update_time: now,
            key,
        }
    }
}

/// What an operator changes of an account; `None` leaves what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is the field of NewAccount of that name")]
pub struct AccountChanges {
    pub name: Option<Text>,
    pub status: Option<AccountStatus>,
    /// Not empty: see `engine::Handle::keys`.
    pub workspace: Option<Text>,
    pub max_concurrency: Option<u32>,
    pub priority: Option<i32>,
    pub weight: Option<u32>,
    pub allowed_apps: Option<AllowList>,
    pub remark: Option<Text>,
    pub balance_nano_usd: Option<Option<i64>>,
    pub key: Option<NewKey>,
    /// `Some(None)` takes the key away.
    pub billing_key: Option<Option<NewKey>>,
}

impl Pool<'_> {
    /// Adds an account, or takes a deleted one back whose key it is.
    ///
    /// # Errors
    /// ACCOUNT_EXISTS, if the key is or was another's.
    pub fn create(&mut self, new: &NewAccount, actor: &str) -> Result<AccountId, Rejection> {
        let exists = || Rejection::AccountExists { key_id: Arc::clone(&new.key.key_id) };
        let before = match self.owner_of(&new.key.key_id) {
            None => None,
            Some(owner) => {
                let account = self.account(owner).filter(|account| account.status == AccountStatus::Deleted);
                Some(account.ok_or_else(exists)?.clone())
            }
        };
        let account_id = match &before {
            Some(account) => account.account_id,
            None => self.fresh_id(),
        };
        let workspace = Arc::clone(new.workspace());
        self.open_workspace(&workspace);
        let account = new.account(account_id, before.as_ref(), self.now);
        let mut fields = before.as_ref().map_or_else(
            || changes(settings(&account).map(|(field, after)| (field, String::new(), after))),
            |before| settings_changed(before, &account),
        );
        fields.extend(before.iter().flat_map(|before| moved(&before.key, &account.key)));
        let balance = new.balance_nano_usd;
        fields.extend(changes([("balance_nano_usd", amount(None), amount(balance))]));
        self.note(actor, Subject::Account(account_id), ADDED.to_owned(), fields);
        self.put_account(account);
        self.store_key(account_id, Purpose::Lease, &new.key);
        if let Some(key) = &new.billing_key {
            self.store_key(account_id, Purpose::Billing, key);
        }
        if let Some(before) = before.filter(|before| before.workspace != workspace) {
            self.leave(&before.workspace, account_id, (actor, ADDED));
            self.recount(&before.workspace);
        }
        self.recount(&workspace);
        match balance {
            Some(_) => self
                .hear_balance(&workspace, account_id, balance, (actor, ADDED))
                .map_err(|Unknown| Rejection::AccountNotFound(account_id))?,
            // What others of the workspace have told of its credit is not forgotten.
            None => self.tell_balance(&workspace),
        }
        Ok(account_id)
    }

    /// Changes an account.
    ///
    /// # Errors
    /// ACCOUNT_NOT_FOUND; ACCOUNT_EXISTS, if its new key is or was another's.
    pub fn update(
        &mut self,
        account_id: AccountId,
        changes: &AccountChanges,
        (actor, reason): (&str, &str),
    ) -> Result<(), Rejection> {
        let before = self.existing(account_id)?;
        if let Some(key) = &changes.key
            && self.owner_of(&key.key_id).is_some_and(|owner| owner != account_id)
        {
            return Err(Rejection::AccountExists { key_id: Arc::clone(&key.key_id) });
        }
        let keep = |changed: &Option<Text>, kept: &Text| changed.as_ref().unwrap_or(kept).clone();
        let workspace = keep(&changes.workspace, &before.workspace);
        let wanted = Account {
            name: keep(&changes.name, &before.name),
            status: changes.status.unwrap_or(before.status),
            workspace: Arc::clone(&workspace),
            max_concurrency: changes.max_concurrency.unwrap_or(before.max_concurrency),
            priority: changes.priority.unwrap_or(before.priority),
            weight: changes.weight.unwrap_or(before.weight),
            allowed_apps: changes.allowed_apps.clone().unwrap_or_else(|| before.allowed_apps.clone()),
            remark: keep(&changes.remark, &before.remark),
            key_id: changes.key.as_ref().map_or(&before.key_id, |key| &key.key_id).clone(),
            billing_key_id: match &changes.billing_key {
                None => before.billing_key_id.clone(),
                Some(key) => key.as_ref().map(|key| Arc::clone(&key.key_id)),
            },
            update_time: self.now,
            ..before.clone()
        };
        self.open_workspace(&workspace);
        let has_new_secret = changes.key.is_some() || changes.billing_key.is_some();
        self.replace(wanted, changes.key.is_some(), (actor, reason))
            .map_err(|Unknown| Rejection::AccountNotFound(account_id))?;
        if let Some(key) = &changes.key {
            self.replace_key(&before, Purpose::Lease, Some(&before.key_id), Some(key));
        }
        if let Some(key) = &changes.billing_key {
            self.replace_key(&before, Purpose::Billing, before.billing_key_id.as_ref(), key.as_ref());
        }
        if has_new_secret {
            let subject = Subject::Account(account_id);
            self.note(actor, subject, format!("stored a secret: {reason}"), Vec::new());
        }
        if let Some(balance) = changes.balance_nano_usd {
            let told = (actor, reason);
            self.hear_balance(&workspace, account_id, balance, told)
                .map_err(|Unknown| Rejection::AccountNotFound(account_id))?;
        } else if workspace != before.workspace {
            self.tell_balance(&workspace);
        }
        Ok(())
    }

    /// Takes an account out for good. Its secrets go at once; its open leases may still be given back.
    ///
    /// # Errors
    /// ACCOUNT_NOT_FOUND.
    pub fn delete(&mut self, account_id: AccountId, (actor, reason): (&str, &str)) -> Result<(), Rejection> {
        let before = self.existing(account_id)?;
        let gone = Account {
            status: AccountStatus::Deleted,
            billing_key_id: None,
            update_time: self.now,
            ..before.clone()
        };
        self.revise(gone, actor, reason).map_err(|Unknown| Rejection::AccountNotFound(account_id))?;
        let keys: Vec<AccountKey> = self.keys_of(account_id).cloned().collect();
        for key in keys {
            let retire_time = key.retire_time.or(Some(self.now));
            self.put_key(AccountKey { sealed: None, retire_time, ..key });
        }
        Ok(())
    }

    /// Stores a secret that was sealed anew. One that has been replaced or erased meanwhile stays as it is.
    pub fn take_reseal(&mut self, reseal: &Reseal, actor: &str) {
        let found = self.key(reseal.account_id, reseal.purpose, &reseal.key_id);
        if found.and_then(|key| key.sealed.as_ref()) != Some(&reseal.before) {
            return;
        }
        let subject = Subject::Account(reseal.account_id);
        let fields = changes([("kek_id", reseal.before.kek_id.to_string(), reseal.after.kek_id.to_string())]);
        let reason = format!("sealed the {} key {} anew", reseal.purpose, reseal.key_id);
        if self.reseal(reseal) {
            self.note(actor, subject, reason, fields);
        }
    }

    /// Replaces what an operator may set of an account; counters and health stay the pool's own.
    ///
    /// Another key starts without the old one's guilt, and so does another secret under the same id. Enabling an
    /// account that is out brings its probe forward: the operator says that it is mended, and the probe finds out. A
    /// lower limit takes no lease back; nothing new is given until enough have ended. The rows must hold the workspace
    /// it is moved to as well.
    pub fn revise(&mut self, wanted: Account, actor: &str, reason: &str) -> Result<(), Unknown> {
        self.replace(wanted, false, (actor, reason))
    }

    /// [`Pool::revise`], and whether the key's secret was stored anew under the id it had.
    fn replace(&mut self, wanted: Account, has_new_secret: bool, told: (&str, &str)) -> Result<(), Unknown> {
        let (actor, reason) = told;
        let before = self.account(wanted.account_id).ok_or(Unknown)?.clone();
        let old_workspace = Arc::clone(&before.workspace);
        self.workspace(&wanted.workspace).ok_or(Unknown)?;
        let mut after = Account {
            use_cnt: before.use_cnt,
            error_cnt: before.error_cnt,
            key: before.key.clone(),
            ..wanted
        };
        if after.key_id != before.key_id {
            after.key = Circuit::default();
        } else if has_new_secret {
            after.key.forgive(self.now);
        }
        let is_enabled = after.status == AccountStatus::Enabled && before.status != AccountStatus::Enabled;
        if is_enabled {
            after.key.hasten(self.now);
        }
        let mut fields = settings_changed(&before, &after);
        fields.extend(moved(&before.key, &after.key));
        if !fields.is_empty() {
            self.note(actor, Subject::Account(after.account_id), reason.to_owned(), fields);
        }
        let workspace = Arc::clone(&after.workspace);
        self.put_account(after);
        if is_enabled {
            let now = self.now;
            self.change_circuit(&workspace, before.account_id, told, |circuit| circuit.hasten(now));
        }
        if workspace != old_workspace {
            self.leave(&old_workspace, before.account_id, told);
            self.recount(&old_workspace);
        }
        self.recount(&workspace);
        Ok(())
    }

    /// Notes a workspace's credit, in nano-USD. Where it grew, a locked workspace may be tried at once: a top-up is
    /// no proof that the lock is gone, but a good reason to look.
    pub fn hear_balance(
        &mut self,
        workspace: &Text,
        account_id: AccountId,
        balance_nano_usd: Option<i64>,
        (actor, reason): (&str, &str),
    ) -> Result<(), Unknown> {
        let row = self.workspace(workspace).ok_or(Unknown)?;
        let before = row.balance_nano_usd;
        let circuit = row.circuit.clone();
        let now = self.now;
        let grew = matches!((before, balance_nano_usd), (Some(had), Some(has)) if has > had);
        self.put_balance(workspace, balance_nano_usd);
        if grew {
            self.change_workspace(workspace, |row| row.circuit.hasten(now));
        }
        let mut fields = changes([("balance_nano_usd", amount(before), amount(balance_nano_usd))]);
        if let Some(row) = self.workspace(workspace) {
            fields.extend(moved(&circuit, &row.circuit));
        }
        if !fields.is_empty() {
            let subject = Subject::Workspace(Arc::clone(workspace), account_id);
            self.note(actor, subject, reason.to_owned(), fields);
        }
        Ok(())
    }

    /// An account that an operator may see.
    fn existing(&self, account_id: AccountId) -> Result<Account, Rejection> {
        let account =
            self.account(account_id).filter(|account| account.status != AccountStatus::Deleted).cloned();
        account.ok_or(Rejection::AccountNotFound(account_id))
    }

    /// Puts a key in another's place, or takes it away.
    fn replace_key(
        &mut self,
        account: &Account,
        purpose: Purpose,
        before: Option<&Text>,
        after: Option<&NewKey>,
    ) {
        let replaced = before.filter(|key_id| after.is_none_or(|key| key.key_id != **key_id));
        let replaced = replaced.and_then(|key_id| self.key(account.account_id, purpose, key_id)).cloned();
        if let Some(key) = replaced {
            let is_in_use = purpose == Purpose::Lease && self.is_in_use(account.account_id, &key.key_id);
            let sealed = key.sealed.clone().filter(|_| is_in_use);
            self.put_key(AccountKey { sealed, retire_time: Some(self.now), ..key });
        }
        if let Some(key) = after {
            self.store_key(account.account_id, purpose, key);
        }
    }

    /// Stores a key as the one in use.
    fn store_key(&mut self, account_id: AccountId, purpose: Purpose, new: &NewKey) {
        let before = self.key(account_id, purpose, &new.key_id);
        let key = AccountKey {
            account_id,
            purpose,
            key_id: Arc::clone(&new.key_id),
            sealed: Some(new.sealed.clone()),
            create_time: before.map_or(self.now, |key| key.create_time),
            retire_time: None,
        };
        if purpose == Purpose::Lease {
            self.own(&new.key_id, account_id);
        }
        self.put_key(key);
    }
}

fn amount(balance_nano_usd: Option<i64>) -> String {
    balance_nano_usd.map_or_else(|| "unknown".to_owned(), |balance| balance.to_string())
}

/// What operators set of an account, in the words of the audit log.
fn settings(account: &Account) -> [(&'static str, String); 10] {
    let billing = account.billing_key_id.as_deref().unwrap_or("none");
    [
        ("name", account.name.to_string()),
        ("workspace", account.workspace.to_string()),
        ("key_id", account.key_id.to_string()),
        ("billing_key_id", billing.to_owned()),
        ("status", account.status.to_string()),
        ("max_concurrency", account.max_concurrency.to_string()),
        ("priority", account.priority.to_string()),
        ("weight", account.weight.to_string()),
        ("allowed_apps", account.allowed_apps.apps().join(" ")),
        ("remark", account.remark.to_string()),
    ]
}

fn settings_changed(before: &Account, after: &Account) -> Vec<FieldChange> {
    let pairs = settings(before).into_iter().zip(settings(after));
    changes(pairs.map(|((field, before), (_, after))| (field, before, after)))
}
