//! What goes to `scrip_audit_log`, as data: who changed what of an account, and why.

use super::AccountId;
use crate::ledger::{Micros, Text};

/// The actor of what the pool does by itself.
pub const POOL: &str = "keypool";

/// What a line speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An account.
    Account(AccountId),
    /// A workspace, and the account by which it was heard.
    Workspace(Text, AccountId),
    /// A lease.
    Lease(Text, AccountId),
}

impl Subject {
    /// The word it is stored under.
    pub const fn kind(&self) -> &'static str {
        match self {
            Subject::Account(_) => "account",
            Subject::Workspace(..) => "workspace",
            Subject::Lease(..) => "lease",
        }
    }

    /// What it is called: an account's number, a workspace's name, a lease's id.
    pub fn name(&self) -> Text {
        match self {
            Subject::Account(account_id) => account_id.to_string().into(),
            Subject::Workspace(name, _) | Subject::Lease(name, _) => Text::clone(name),
        }
    }

    /// The account it concerns.
    pub const fn account_id(&self) -> AccountId {
        match self {
            Subject::Account(account_id)
            | Subject::Workspace(_, account_id)
            | Subject::Lease(_, account_id) => *account_id,
        }
    }
}

/// One field, before and after, in the words of the tables. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The field.
    pub field: &'static str,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// One row of `scrip_audit_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// When.
    pub time: Micros,
    /// Who: a caller's name, or [`POOL`].
    pub actor: Text,
    /// Of what.
    pub subject: Subject,
    /// Why.
    pub reason: Text,
    /// What changed; empty where something was only noted.
    pub changes: Vec<FieldChange>,
}

impl AuditLine {
    /// The changes as they are stored: a JSON object of `[before, after]` by field.
    pub fn changes_json(&self) -> String {
        let fields = self
            .changes
            .iter()
            .map(|change| (change.field, serde_json::json!([change.before.as_str(), change.after.as_str()])));
        serde_json::Value::from_iter(fields).to_string()
    }
}

/// The changes among named fields.
pub(super) fn changes(fields: impl IntoIterator<Item = (&'static str, String, String)>) -> Vec<FieldChange> {
    fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(field, before, after)| FieldChange { field, before, after })
        .collect()
}
