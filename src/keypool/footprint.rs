//! What a batch touches of the pool: by what the store finds the workspaces to lock.

use std::collections::BTreeSet;

use super::AccountId;
use crate::ledger::Text;

/// Sorted and without repeats. The store locks the workspaces of all that is named, in one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Accounts: candidates, and those an operator changes.
    pub accounts: BTreeSet<AccountId>,
    /// Leases that are named: their workspaces are locked, whether they are open or not. The newest lease of each one's
    /// task is read, too.
    pub leases: BTreeSet<Text>,
    /// Tasks whose newest lease is read; where it is open, its workspace is locked. Of a task that is processing, the
    /// workspace of the account that has or had its key is locked, too.
    pub tasks: BTreeSet<Text>,
    /// Workspaces that are named; they may not exist yet.
    pub workspaces: BTreeSet<Text>,
    /// Ids of keys to be stored for leasing: the workspace of the account that has or had one is locked.
    pub key_ids: BTreeSet<Text>,
    /// How many accounts may be added.
    pub new_accounts: u32,
}

impl Footprint {
    /// Whether nothing of the pool is touched.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
