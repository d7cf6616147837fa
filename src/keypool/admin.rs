//! What operators and reconciliation change: settings of an account, its key, its workspace, its balance.

use std::sync::Arc;

use super::audit::{Subject, changes};
use super::circuit::Circuit;
use super::pool::{Pool, Unknown};
use super::verdict::moved;
use super::{Account, AccountStatus};
use crate::ledger::Text;

impl Pool<'_> {
    /// Replaces what an operator may set of an account; counters and health stay the pool's own.
    ///
    /// Another key starts without the old one's guilt. Enabling an account that is out brings its probe forward: the
    /// operator says that it is mended, and the probe finds out. A lower limit takes no lease back; nothing new is
    /// given until enough have ended. The rows must hold the workspace it is moved to as well.
    pub fn revise(&mut self, wanted: Account, actor: &str, reason: &str) -> Result<(), Unknown> {
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
        }
        if after.status == AccountStatus::Enabled && before.status != AccountStatus::Enabled {
            after.key.hasten(self.now);
            let now = self.now;
            self.change_workspace(&after.workspace, |row| row.circuit.hasten(now));
        }
        let mut fields = settings_changed(&before, &after);
        fields.extend(moved(&before.key, &after.key));
        if !fields.is_empty() {
            self.note(actor, Subject::Account(after.account_id), reason.to_owned(), fields);
        }
        let workspace = Arc::clone(&after.workspace);
        self.put_account(after);
        if workspace != old_workspace {
            self.leave(&old_workspace, before.account_id);
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
        account_id: super::AccountId,
        balance_nano_usd: Option<i64>,
        (actor, reason): (&str, &str),
    ) -> Result<(), Unknown> {
        let row = self.workspace(workspace).ok_or(Unknown)?;
        let before = row.balance_nano_usd;
        let circuit = row.circuit.clone();
        let now = self.now;
        let grew = matches!((before, balance_nano_usd), (Some(had), Some(has)) if has > had);
        self.change_workspace(workspace, |row| {
            row.balance_nano_usd = balance_nano_usd;
            if grew {
                row.circuit.hasten(now);
            }
        });
        let amount = |balance: Option<i64>| balance.map_or_else(|| "unknown".to_owned(), |b| b.to_string());
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
}

fn settings_changed(before: &Account, after: &Account) -> Vec<super::FieldChange> {
    let apps = |account: &Account| account.allowed_apps.apps().join(" ");
    changes([
        ("name", before.name.to_string(), after.name.to_string()),
        ("workspace", before.workspace.to_string(), after.workspace.to_string()),
        ("key_id", before.key_id.to_string(), after.key_id.to_string()),
        ("status", before.status.to_string(), after.status.to_string()),
        ("max_concurrency", before.max_concurrency.to_string(), after.max_concurrency.to_string()),
        ("priority", before.priority.to_string(), after.priority.to_string()),
        ("weight", before.weight.to_string(), after.weight.to_string()),
        ("allowed_apps", apps(before), apps(after)),
        ("remark", before.remark.to_string(), after.remark.to_string()),
    ])
}
