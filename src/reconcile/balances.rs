//! What fal says of an account besides its bill: its credit, and the name of the workspace that is billed. Both go
//! through the engine's key pool, so that they are audited there and every replica works with them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::accounts::{Accounts, Asker};
use crate::engine::{EngineError, Handle};
use crate::fal;
use crate::keypool::{AccountChanges, Command};
use crate::ledger::Text;
use crate::ledger::limits::NAME_CHARS;

/// Who is written as the actor of what reconciliation does by itself.
pub(super) static ACTOR: LazyLock<Text> = LazyLock::new(|| Text::from("reconciliation"));

/// Tells the key pool. An account that is gone by now has nothing to hear.
///
/// # Errors
/// Those of the engine but refusals: the account may have been deleted meanwhile.
pub(super) async fn hear(engine: &Handle, asker: &Asker, heard: &fal::Account) -> Result<(), EngineError> {
    let account_id = asker.account_id;
    if asker.is_unnamed && is_name(&heard.username) && *heard.username != *asker.workspace {
        let changes =
            AccountChanges { workspace: Some(heard.username.as_str().into()), ..AccountChanges::default() };
        let reason = Text::from("fal's name of the workspace that is billed");
        tell(engine, Command::Update { account_id, changes, reason }).await?;
    }
    match heard.balance {
        Some(balance) => tell(engine, Command::HearBalance { account_id, balance_nano_usd: balance.0 }).await,
        None => Ok(()),
    }
}

async fn tell(engine: &Handle, command: Command) -> Result<(), EngineError> {
    match engine.keys(command, "", &ACTOR, None).await {
        Ok(_) => Ok(()),
        Err(EngineError::Rejected(refused)) => {
            tracing::warn!(?refused, "the key pool does not take what fal says of an account");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What may be the name of a workspace here.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= NAME_CHARS && !name.chars().any(char::is_control)
}

/// Asks fal for the credit of every workspace, one after the other, and tells the key pool. What cannot be asked is
/// logged: the next round asks again.
///
/// # Errors
/// Those of the engine.
pub(super) async fn refresh(engine: &Handle, client: &fal::Client) -> Result<(), EngineError> {
    let accounts = Accounts::read(engine).await?;
    for asker in accounts.askers(&accounts.workspaces(&[]), &BTreeSet::new(), engine.keyring()) {
        let account_id = asker.account_id;
        match &asker.key {
            Ok(key) => match client.account(key).await {
                Ok((heard, _)) => hear(engine, &asker, &heard).await?,
                Err(error) => tracing::warn!(account_id, %error, "fal does not tell the account's balance"),
            },
            Err(why) => {
                tracing::warn!(account_id, why = why.message, "the account's balance cannot be asked")
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_would_not_take_names_no_workspace() {
        assert!(is_name("studio") && is_name("上海工作室") && is_name(&"x".repeat(150)));
        assert!(!is_name("") && !is_name("a\nb") && !is_name(&"x".repeat(151)));
    }
}
