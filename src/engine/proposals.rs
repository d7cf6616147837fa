//! Proposals: a cached view of the key pool names the few accounts whose rows a batch locks and chooses among.
//!
//! The view is read anew when a batch needs it and it is older than [`MAX_AGE`]; in between it hears at once of all
//! that this process decides. It may be wrong, and nothing rests on it: see [`crate::keypool::view`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::EngineError;
use super::error::logged;
use super::judge::Judgement;
use crate::keypool::score::lot;
use crate::keypool::{Account, AccountId, AccountStatus, Seen, Settings, View, Workspace};
use crate::ledger::{Command, KeySelection, Text};
use crate::store::{PoolRows, Reader};

/// How old a view may be that proposes: domain.md's bound.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How long a batch waits for a view: others in it want no key.
const PATIENCE: Duration = Duration::from_secs(1);
/// A view is read anew before it must be, so that no batch waits for it while keys are asked for.
const FRESH: Duration = Duration::from_millis(500);

/// The view and what it was made from.
pub(super) struct Proposals {
    reader: Arc<dyn Reader>,
    cached: Mutex<Cached>,
    /// One refresh at a time.
    refreshing: tokio::sync::Mutex<()>,
}

pub(super) struct Cached {
    pub(super) view: View,
    read: Option<Instant>,
    /// When somebody last asked for a proposal.
    asked: Option<Instant>,
    /// Accounts whose key was found unreadable, and that key: out of the view until another takes its place.
    unreadable: BTreeMap<AccountId, Text>,
}

/// The rows of one workspace.
struct Group<'a> {
    workspace: &'a Workspace,
    accounts: Vec<Account>,
    in_flight: u32,
    committed_nano_usd: i64,
}

impl Proposals {
    pub(super) fn new(reader: Arc<dyn Reader>, settings: Settings) -> Self {
        let cached =
            Cached { view: View::new(settings), read: None, asked: None, unreadable: BTreeMap::new() };
        Self { reader, cached: Mutex::new(cached), refreshing: tokio::sync::Mutex::default() }
    }

    /// The view, for as long as nothing is awaited.
    pub(super) fn cached(&self) -> MutexGuard<'_, Cached> {
        // A panic while it was held leaves a view that may be wrong, which it may be anyway.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that the view is young enough to propose.
    ///
    /// # Errors
    /// If the pool cannot be read, or not in time.
    pub(super) async fn freshen(&self) -> Result<(), EngineError> {
        self.cached().asked = Some(Instant::now());
        let read = tokio::time::timeout(PATIENCE, self.refresh_if_older(MAX_AGE)).await;
        read.unwrap_or(Err(EngineError::StoreUnavailable))
    }

    /// Reads the pool anew before it must be, as long as somebody asks for keys.
    pub(super) async fn keep_fresh(&self) {
        let is_asked_for = self.cached().asked.is_some_and(|asked| asked.elapsed() < MAX_AGE);
        if is_asked_for && let Err(error) = self.refresh_if_older(FRESH).await {
            tracing::debug!(%error, "the key pool could not be read ahead of need");
        }
    }

    async fn refresh_if_older(&self, age: Duration) -> Result<(), EngineError> {
        let is_young = |read: Option<Instant>| read.is_some_and(|read| read.elapsed() < age);
        if is_young(self.cached().read) {
            return Ok(());
        }
        let _one = self.refreshing.lock().await;
        if is_young(self.cached().read) {
            return Ok(());
        }
        let begun = Instant::now();
        let rows = self.reader.key_pool().await.map_err(|error| logged(&error))?;
        self.cached().take(&rows, begun);
        Ok(())
    }
}

impl Cached {
    /// Replaces the view.
    fn take(&mut self, rows: &PoolRows, read: Instant) {
        let mut groups: BTreeMap<&Text, Group<'_>> = BTreeMap::new();
        for workspace in &rows.workspaces {
            let group = Group { workspace, accounts: Vec::new(), in_flight: 0, committed_nano_usd: 0 };
            groups.insert(&workspace.workspace, group);
        }
        self.unreadable.retain(|account_id, key_id| {
            rows.accounts.iter().any(|account| account.account_id == *account_id && account.key_id == *key_id)
        });
        for account in &rows.accounts {
            if let Some(group) = groups.get_mut(&account.workspace) {
                group.accounts.push(self.barred(account.clone()));
            }
        }
        for usage in &rows.usage {
            if let Some(group) = groups.get_mut(&usage.workspace) {
                (group.in_flight, group.committed_nano_usd) = (usage.in_flight, usage.committed_nano_usd);
            }
        }
        let groups: Vec<Group<'_>> = groups.into_values().collect();
        let seen = groups.iter().map(|group| Seen {
            workspace: group.workspace,
            accounts: &group.accounts,
            in_flight: group.in_flight,
            committed_nano_usd: group.committed_nano_usd,
        });
        self.view.refresh(seen, rows.now);
        self.read = Some(read);
    }

    /// Names the accounts to lock for a command, and counts the lease it is likely to take, so that the next proposal
    /// of the same batch names others.
    pub(super) fn propose(&mut self, command: &Command, seed: u64) -> Vec<AccountId> {
        let Some(selection) = command.selection() else { return Vec::new() };
        let candidates = self.view.propose(app_of(command), cost_of(selection), seed);
        let accounts: Vec<AccountId> = candidates.accounts().collect();
        if let Some(first) = accounts.first() {
            self.view.expect(*first);
        }
        accounts
    }

    /// Whether somebody could be proposed for a command that was just refused.
    pub(super) fn has_others(&self, command: &Command) -> bool {
        command
            .selection()
            .is_some_and(|selection| !self.view.propose(app_of(command), cost_of(selection), 0).is_empty())
    }

    /// Hears what a batch saw and did.
    pub(super) fn observe(&mut self, judgement: &Judgement) {
        for observed in &judgement.observed {
            for account in &observed.accounts {
                if judgement.unreadable.contains(&account.account_id) {
                    self.unreadable.insert(account.account_id, Text::clone(&account.key_id));
                } else {
                    self.unreadable.remove(&account.account_id);
                }
            }
            let accounts: Vec<Account> =
                observed.accounts.iter().map(|account| self.barred(account.clone())).collect();
            let seen = Seen {
                workspace: &observed.workspace,
                accounts: &accounts,
                in_flight: observed.in_flight,
                committed_nano_usd: observed.committed_nano_usd,
            };
            self.view.observe(&seen, judgement.now);
        }
    }

    /// Reads the pool anew for the next proposal: an operator has changed it.
    pub(super) fn outdate(&mut self) {
        self.read = None;
    }

    fn barred(&self, account: Account) -> Account {
        if self.unreadable.get(&account.account_id) == Some(&account.key_id) {
            return Account { status: AccountStatus::Disabled, ..account };
        }
        account
    }
}

/// The model a command asks a key for; the lane has looked up that of a selection which left it to the task.
fn app_of(command: &Command) -> &str {
    match command {
        Command::Charge(charge) => &charge.app_name,
        Command::Authorize(authorize) => &authorize.charge.app_name,
        Command::SelectKey(select) => &select.app_name,
        _ => "",
    }
}

fn cost_of(selection: &KeySelection) -> i64 {
    selection.estimated_cost_nano_usd.unwrap_or(0)
}

/// A number for each of a batch's proposals, from one seed.
pub(super) const fn seed_of(batch: u64, index: u64) -> u64 {
    lot(batch, index.cast_signed())
}
