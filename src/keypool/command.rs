//! Commands of the pool that belong to no task: heartbeats, reports, sweeps, and what operators change.

use std::sync::Arc;

use super::admin::{AccountChanges, NewAccount};
use super::desk::Desk;
use super::footprint::Footprint;
use super::lease::Lease;
use super::pool::{Released, Unknown, Unrenewed};
use super::secret::Reseal;
use super::{Account, AccountId, AccountStatus, LeaseOutcome, Report, Workspace};
use crate::ledger::fingerprint::{Field, Fingerprint};
use crate::ledger::{Method, Rejection, Text};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A heartbeat.
    Renew {
        /// The lease.
        lease_id: Text,
        /// How long it shall live from now, in microseconds; `None` for the default.
        ttl_micros: Option<i64>,
    },
    /// A report.
    Release {
        /// The lease.
        lease_id: Text,
        /// What came of it.
        report: Report,
    },
    /// The engine's own: close leases whose time has passed.
    Expire {
        /// Those found due.
        lease_ids: Vec<Text>,
    },
    /// Adds an account.
    Create(NewAccount),
    /// Changes one.
    Update {
        /// Which.
        account_id: AccountId,
        /// What.
        changes: AccountChanges,
        /// Why, for the audit log.
        reason: Text,
    },
    /// Takes one out for good.
    Delete {
        /// Which.
        account_id: AccountId,
        /// Why, for the audit log.
        reason: Text,
    },
    /// What fal says of a workspace's credit.
    HearBalance {
        /// The account by which it was asked.
        account_id: AccountId,
        /// The credit, in nano-USD.
        balance_nano_usd: i64,
    },
    /// Stores secrets sealed anew.
    Reseal(Vec<Reseal>),
}

/// An account with what operators are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The account.
    pub account: Account,
    /// Its workspace.
    pub workspace: Workspace,
    /// Its own open leases.
    pub in_flight: u32,
    /// It had been done before; nothing was done now.
    pub replayed: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The lease as it is now.
    Renewed(Arc<Lease>),
    /// The lease, closed, and its account's health.
    Released(Released),
    /// How many leases were closed.
    Expired(usize),
    /// The account that was added, changed or deleted, as it stands now.
    Account(Box<Described>),
    /// It is done, and there is nothing to tell.
    Nothing,
}

impl Command {
    /// The rows it touches.
    pub fn footprint(&self) -> Footprint {
        let mut footprint = Footprint::default();
        match self {
            Command::Renew { lease_id, .. } | Command::Release { lease_id, .. } => {
                footprint.leases.insert(Arc::clone(lease_id));
            }
            Command::Expire { lease_ids } => footprint.leases.extend(lease_ids.iter().cloned()),
            Command::Create(new) => {
                footprint.key_ids.insert(Arc::clone(&new.key.key_id));
                footprint.workspaces.insert(Arc::clone(new.workspace()));
                footprint.new_accounts = 1;
            }
            Command::Update { account_id, changes, .. } => {
                footprint.accounts.insert(*account_id);
                footprint.key_ids.extend(changes.key.as_ref().map(|key| Arc::clone(&key.key_id)));
                footprint.workspaces.extend(changes.workspace.clone());
            }
            Command::Delete { account_id, .. } | Command::HearBalance { account_id, .. } => {
                footprint.accounts.insert(*account_id);
            }
            Command::Reseal(reseals) => {
                footprint.accounts.extend(reseals.iter().map(|reseal| reseal.account_id));
            }
        }
        footprint
    }

    /// The method whose outcome a `request_id` freezes, and its content; `None` where repeating it is harmless by
    /// itself.
    pub fn content(&self) -> Option<(Method, Fingerprint)> {
        match self {
            Command::Create(new) => Some((Method::CreateAccount, new_content(new))),
            Command::Update { account_id, changes, reason } => {
                Some((Method::UpdateAccount, changed_content(*account_id, changes, reason)))
            }
            Command::Delete { account_id, reason } => {
                let content = Fingerprint::new().text(Field::Reason, reason);
                Some((Method::DeleteAccount, content.number(Field::AccountId, *account_id)))
            }
            Command::Renew { .. }
            | Command::Release { .. }
            | Command::Expire { .. }
            | Command::HearBalance { .. }
            | Command::Reseal(_) => None,
        }
    }
}

impl Desk<'_> {
    /// Does a command, or says why not.
    ///
    /// # Errors
    /// As the methods of [`super::Pool`] that it calls.
    pub fn command(&mut self, command: &Command, actor: &str) -> Result<Done, Rejection> {
        match command {
            Command::Renew { lease_id, ttl_micros } => self.renew(lease_id, *ttl_micros),
            Command::Release { lease_id, report } => self.give_back(lease_id, report).map(Done::Released),
            Command::Expire { lease_ids } => Ok(Done::Expired(self.count_expired(lease_ids))),
            Command::Create(new) => {
                let account_id = self.pool.create(new, actor)?;
                self.described(account_id, false)
            }
            Command::Update { account_id, changes, reason } => {
                self.pool.update(*account_id, changes, (actor, reason))?;
                self.described(*account_id, false)
            }
            Command::Delete { account_id, reason } => {
                self.pool.delete(*account_id, (actor, reason))?;
                self.described(*account_id, false)
            }
            Command::HearBalance { account_id, balance_nano_usd } => {
                let missing = || Rejection::AccountNotFound(*account_id);
                let account = self.pool.account(*account_id).ok_or_else(missing)?;
                let workspace = Arc::clone(&account.workspace);
                let told = (actor, "fal said so");
                let heard = self.pool.hear_balance(&workspace, *account_id, Some(*balance_nano_usd), told);
                heard.map_err(|Unknown| missing())?;
                Ok(Done::Nothing)
            }
            Command::Reseal(reseals) => {
                reseals.iter().for_each(|reseal| self.pool.take_reseal(reseal, actor));
                Ok(Done::Nothing)
            }
        }
    }

    /// What a repeat of a command under its `request_id` is answered.
    ///
    /// # Errors
    /// ACCOUNT_NOT_FOUND, if the account was deleted since; but a repeat of its deletion is answered it as it was last.
    pub fn repeated(&self, command: &Command) -> Result<Done, Rejection> {
        let (account_id, may_be_deleted) = match command {
            Command::Create(new) => (self.pool.owner_of(&new.key.key_id), false),
            Command::Update { account_id, .. } => (Some(*account_id), false),
            Command::Delete { account_id, .. } => (Some(*account_id), true),
            Command::Renew { .. }
            | Command::Release { .. }
            | Command::Expire { .. }
            | Command::HearBalance { .. }
            | Command::Reseal(_) => (None, false),
        };
        let account_id = account_id.unwrap_or_default();
        let account = self.pool.account(account_id);
        let is_deleted = account.is_some_and(|account| account.status == AccountStatus::Deleted);
        if is_deleted && !may_be_deleted {
            return Err(Rejection::AccountNotFound(account_id));
        }
        self.described(account_id, true)
    }

    fn described(&self, account_id: AccountId, replayed: bool) -> Result<Done, Rejection> {
        let missing = || Rejection::AccountNotFound(account_id);
        let account = self.pool.account(account_id).ok_or_else(missing)?;
        let workspace = self.pool.workspace(&account.workspace).ok_or_else(missing)?;
        let in_flight = self.pool.in_flight_of(account_id);
        let (account, workspace) = (account.clone(), workspace.clone());
        Ok(Done::Account(Box::new(Described { account, workspace, in_flight, replayed })))
    }

    fn renew(&mut self, lease_id: &Text, ttl_micros: Option<i64>) -> Result<Done, Rejection> {
        self.pool.renew(lease_id, ttl_micros).map(Done::Renewed).map_err(|why| match why {
            Unrenewed::Unknown => Rejection::LeaseNotFound(Arc::clone(lease_id)),
            Unrenewed::Expired => Rejection::LeaseExpired(Arc::clone(lease_id)),
            Unrenewed::Superseded => Rejection::LeaseSuperseded(Arc::clone(lease_id)),
        })
    }

    /// Taking the snapshot has closed what was due; another replica may have been first.
    fn count_expired(&self, lease_ids: &[Text]) -> usize {
        let now = Some(self.pool.now);
        let leases = lease_ids.iter().filter_map(|lease_id| self.pool.lease(lease_id));
        leases
            .filter(|lease| lease.outcome == Some(LeaseOutcome::Expired) && lease.release_time == now)
            .count()
    }
}

/// The secrets do not count, only their ids: what was stored cannot be compared, and its hash is not kept.
fn new_content(new: &NewAccount) -> Fingerprint {
    let billing = new.billing_key.as_ref().map_or("", |key| &*key.key_id);
    Fingerprint::new()
        .text(Field::Name, &new.name)
        .text(Field::KeyId, &new.key.key_id)
        .text(Field::BillingKeyId, billing)
        .text(Field::Workspace, &new.workspace)
        .number(Field::MaxConcurrency, new.max_concurrency.into())
        .number(Field::Priority, new.priority.into())
        .number(Field::Weight, new.weight.into())
        .text(Field::AllowedApps, &new.allowed_apps.apps().join("\n"))
        .text(Field::Remark, &new.remark)
        .optional(Field::BalanceNanoUsd, new.balance_nano_usd)
}

fn changed_content(account_id: AccountId, changes: &AccountChanges, reason: &Text) -> Fingerprint {
    let given = |text: &Option<Text>| text.as_ref().map(|text| format!("={text}")).unwrap_or_default();
    let key = changes.key.as_ref().map(|key| &*key.key_id).unwrap_or_default();
    let billing = match &changes.billing_key {
        None => String::new(),
        Some(None) => "none".to_owned(),
        Some(Some(key)) => format!("={}", key.key_id),
    };
    let apps = changes.allowed_apps.as_ref().map(|apps| format!("={}", apps.apps().join("\n")));
    let balance = changes.balance_nano_usd.map(|balance| format!("{balance:?}"));
    Fingerprint::new()
        .text(Field::Reason, reason)
        .text(Field::Name, &given(&changes.name))
        .text(Field::KeyId, key)
        .text(Field::BillingKeyId, &billing)
        .text(Field::Workspace, &given(&changes.workspace))
        .optional(Field::MaxConcurrency, changes.max_concurrency.map(i64::from))
        .optional(Field::Priority, changes.priority.map(i64::from))
        .optional(Field::Weight, changes.weight.map(i64::from))
        .text(Field::AllowedApps, &apps.unwrap_or_default())
        .text(Field::Remark, &given(&changes.remark))
        .text(Field::BalanceNanoUsd, &balance.unwrap_or_default())
        .text(Field::Status, changes.status.map(AccountStatus::as_str).unwrap_or_default())
        .number(Field::AccountId, account_id)
}
