//! Who asks fal for a workspace: one account of it, since fal tells each of them the same.

use std::collections::{BTreeMap, BTreeSet};

use super::failure::Why;
use crate::engine::rows::{AccountRecord, Page};
use crate::engine::{EngineError, Handle};
use crate::fal;
use crate::keypool::{AccountId, AccountKey, AccountStatus, Purpose};
use crate::ledger::Text;
use crate::vault::{FalKey, Keyring};

/// Rows of one read.
const PAGE: u32 = 500;

/// The accounts there are, with what of their keys is stored.
pub(super) struct Accounts {
    records: BTreeMap<AccountId, AccountRecord>,
    keys: Vec<AccountKey>,
}

/// An account that asks for its workspace, or why none of it can.
pub(super) struct Asker {
    pub(super) account_id: AccountId,
    pub(super) name: Text,
    pub(super) workspace: Text,
    /// The workspace has its default name, that of the account's key: nobody said or heard what it is.
    pub(super) is_unnamed: bool,
    pub(super) key: Result<fal::ApiKey, Why>,
}

impl Accounts {
    /// Reads all of them.
    ///
    /// # Errors
    /// As [`Handle::list_accounts`].
    pub(super) async fn read(engine: &Handle) -> Result<Self, EngineError> {
        let mut records = BTreeMap::new();
        let mut before = None;
        loop {
            let page = engine.list_accounts(Page { before, limit: PAGE }).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.account.account_id);
            records.extend(page.into_iter().map(|record| (record.account.account_id, record)));
        }
        let mut keys: Vec<AccountKey> = Vec::new();
        loop {
            let last =
                keys.last().map(|key| (key.account_id, key.purpose.as_str(), Text::clone(&key.key_id)));
            let (account_id, purpose, key_id) = last.unwrap_or((i64::MIN, "", Text::default()));
            let page = engine.sealed_keys((account_id, purpose, &key_id), PAGE).await?;
            if page.is_empty() {
                break;
            }
            keys.extend(page);
        }
        Ok(Self { records, keys })
    }

    /// Whether there is such an account.
    pub(super) fn has(&self, account_id: AccountId) -> bool {
        self.records.contains_key(&account_id)
    }

    /// The workspaces of the accounts named, of all where none is.
    pub(super) fn workspaces(&self, account_ids: &[AccountId]) -> BTreeSet<Text> {
        let named = self
            .records
            .values()
            .filter(|record| account_ids.is_empty() || account_ids.contains(&record.account.account_id));
        named.map(|record| Text::clone(&record.account.workspace)).collect()
    }

    /// Who asks for each of these workspaces. An account that `began` asking goes on; else it is one with a key for
    /// fal's platform API, else one in rotation, else any whose key can be opened.
    pub(super) fn askers(
        &self,
        workspaces: &BTreeSet<Text>,
        began: &BTreeSet<AccountId>,
        keyring: &Keyring,
    ) -> Vec<Asker> {
        let mut by_workspace: BTreeMap<&Text, Vec<&AccountRecord>> = BTreeMap::new();
        for record in self.records.values().filter(|record| workspaces.contains(&record.account.workspace)) {
            by_workspace.entry(&record.account.workspace).or_default().push(record);
        }
        by_workspace.into_values().filter_map(|members| self.asker(members, began, keyring)).collect()
    }

    fn asker(
        &self,
        mut members: Vec<&AccountRecord>,
        began: &BTreeSet<AccountId>,
        keyring: &Keyring,
    ) -> Option<Asker> {
        members.sort_by_key(|record| {
            let account = &record.account;
            let is_out = account.status != AccountStatus::Enabled;
            (
                !began.contains(&account.account_id),
                account.billing_key_id.is_none(),
                is_out,
                account.account_id,
            )
        });
        let mut refused = None;
        for record in &members {
            match self.open(record, keyring) {
                Ok(key) => return Some(asker(record, Ok(key))),
                Err(why) => refused = refused.or(Some((*record, why))),
            }
        }
        refused.map(|(record, why)| asker(record, Err(why)))
    }

    /// The key that an account asks with: the one for the platform API, else the one that is leased.
    fn open(&self, record: &AccountRecord, keyring: &Keyring) -> Result<fal::ApiKey, Why> {
        let account = &record.account;
        let wanted = match &account.billing_key_id {
            Some(key_id) => (Purpose::Billing, key_id),
            None => (Purpose::Lease, &account.key_id),
        };
        let row = self.keys.iter().find(|key| {
            (key.account_id, key.purpose, &key.key_id) == (account.account_id, wanted.0, wanted.1)
        });
        let sealed = row.and_then(|row| row.sealed.as_ref());
        let sealed = sealed.ok_or_else(|| Why::no_secret("no key of the account is stored"))?;
        let opened =
            keyring.open(wanted.1, wanted.0, sealed).map_err(|why| Why::no_secret(why.to_string()))?;
        as_api_key(&opened)
    }
}

fn as_api_key(key: &FalKey) -> Result<fal::ApiKey, Why> {
    fal::ApiKey::new(key.expose().to_owned()).map_err(|why| Why::no_secret(why.to_string()))
}

fn asker(record: &AccountRecord, key: Result<fal::ApiKey, Why>) -> Asker {
    let account = &record.account;
    Asker {
        account_id: account.account_id,
        name: Text::clone(&account.name),
        workspace: Text::clone(&account.workspace),
        is_unnamed: account.workspace == account.key_id,
        key,
    }
}
