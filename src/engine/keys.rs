//! The way to the key pool: commands of accounts and leases, selections that may wait, and what is listed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Answers, KeyAnswer};
use super::waiting::{Place, Queue, Woken};
use super::work::{Asked, KeyWork, model_of};
use super::{EngineError, Handle};
use crate::keypool::{self, AccountId, AccountKey};
use crate::ledger::limits::{Checks, ID_CHARS, LINE_CHARS};
use crate::ledger::{Command, Rejection, Report, Submission, Text, Why};
use crate::store::{AccountRecord, AuditRecord, Page};
use crate::vault::Keyring;

/// How long a caller would rather wait for a key than be refused; never past its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    /// The longest of them.
    pub const LONGEST: Duration = Duration::from_secs(60);
}

impl Handle {
    /// Has a command that asks for a key decided and stored; where there is none, waits for one.
    ///
    /// # Errors
    /// As [`Handle::submit`]; NO_KEY_AVAILABLE after the wait.
    pub async fn submit_waiting(
        &self,
        command: Command,
        request_id: &str,
        (actor, deadline): (&Text, Option<Instant>),
        wait: Wait,
    ) -> Result<Answer, EngineError> {
        let mut submission = self.check(command, request_id, actor)?;
        let longest = Instant::now() + wait.0.min(Wait::LONGEST);
        let until = deadline.map_or(longest, |deadline| deadline.min(longest));
        let mut place = None;
        self.dress(&mut submission, false);
        loop {
            let refused = match self.submit_one(submission.clone(), deadline).await {
                Err(EngineError::Rejected(refused)) => refused,
                answered => return answered,
            };
            let Some((retry_after, is_tied)) = worth_waiting(&refused).filter(|_| Instant::now() < until)
            else {
                return Err(refused.into());
            };
            if place.is_none() {
                place = self.enter(&submission.command, is_tied).await?;
            }
            // A full room is one more reason to come again later.
            let Some(place) = &place else { return Err(refused.into()) };
            match place.turn(until, retry_after, self.way.ids.random()).await {
                Woken::Try => {}
                Woken::TimeOver => return Err(refused.into()),
                Woken::Closing => return Err(EngineError::ShuttingDown),
            }
            self.dress(&mut submission, true);
        }
    }

    /// Takes a place among those who wait for the same.
    async fn enter(&self, command: &Command, is_tied: bool) -> Result<Option<Place>, EngineError> {
        let task_id = command.task_id().cloned().unwrap_or_default();
        let mut model = model_of(command);
        if model.is_empty() && !is_tied {
            let owners = self.read(self.reader.task_owners(std::slice::from_ref(&task_id))).await?;
            model = owners.into_iter().next().map(|owner| owner.app_name).unwrap_or_default();
        }
        let queue = if is_tied { Queue::Task(task_id) } else { Queue::Model(model) };
        Ok(self.way.waiting.enter(queue, command.weight_bytes()))
    }

    /// What seals and opens keys.
    pub fn keyring(&self) -> &Keyring {
        &self.way.options.keyring
    }

    /// 24 bytes that were never used before.
    pub fn nonce(&self) -> [u8; 24] {
        self.way.ids.nonce()
    }

    /// Gives a selection what only the engine can: the id of its lease, and whether it has waited for its turn.
    fn dress(&self, submission: &mut Submission, has_turn: bool) {
        if let Some(selection) = submission.command.selection_mut() {
            selection.lease_id = Text::from(self.way.ids.lease_id().to_string());
            selection.has_turn = has_turn;
        }
    }

    /// Has a command of the key pool decided and stored.
    ///
    /// # Errors
    /// As [`Handle::submit`].
    pub async fn keys(
        &self,
        command: keypool::Command,
        request_id: &str,
        actor: &Text,
        deadline: Option<Instant>,
    ) -> Result<KeyAnswer, EngineError> {
        let mut checks = Checks::new(self.limits());
        checks.id("request_id", request_id, LINE_CHARS);
        match &command {
            keypool::Command::Renew { lease_id, ttl_micros } => {
                checks.required_id("lease_id", lease_id, ID_CHARS);
                checks.lease_ttl(*ttl_micros);
            }
            keypool::Command::Release { lease_id, report } => {
                checks.required_id("lease_id", lease_id, ID_CHARS);
                checks.report(report);
            }
            _ => {}
        }
        checks.finish().map_err(Rejection::InvalidField)?;
        // What a repeat is recognised by is what the caller said.
        let mut work = KeyWork::new(command, request_id, actor);
        self.resolve_workspace(&mut work.command).await?;
        self.submit_keys(work, deadline).await
    }

    /// An account that shall have a workspace of its own is moved to the one that its key's id names: known before the
    /// batch, which locks it.
    async fn resolve_workspace(&self, command: &mut keypool::Command) -> Result<(), EngineError> {
        if let keypool::Command::Update { account_id, changes, .. } = command
            && changes.workspace.as_ref().is_some_and(|told| told.is_empty())
        {
            let account = self.account(*account_id).await?.ok_or(Rejection::AccountNotFound(*account_id))?;
            let key_id = changes.key.as_ref().map(|key| Arc::clone(&key.key_id));
            changes.workspace = Some(key_id.unwrap_or(account.account.key_id));
        }
        Ok(())
    }

    /// Gives a lease back. Where fal's id of the job is given, the task's attempts name it afterwards.
    ///
    /// # Errors
    /// As [`Handle::keys`].
    pub async fn release(
        &self,
        (lease_id, report): (Text, Report),
        online_task_id: &str,
        actor: &Text,
        deadline: Option<Instant>,
    ) -> Result<KeyAnswer, EngineError> {
        let mut checks = Checks::new(self.limits());
        checks.required_id("lease_id", &lease_id, ID_CHARS);
        checks.report(&report);
        checks.id("online_task_id", online_task_id, ID_CHARS);
        checks.finish().map_err(Rejection::InvalidField)?;
        let command = keypool::Command::Release { lease_id, report };
        let mut work = KeyWork::new(command, "", actor);
        work.online_task_id = Text::from(online_task_id);
        self.submit_keys(work, deadline).await
    }

    async fn submit_keys(&self, work: KeyWork, deadline: Option<Instant>) -> Result<KeyAnswer, EngineError> {
        match self.lanes.first().submit(Asked::Keys(Box::new(work)), deadline).await? {
            Answers::Keys(answer) => Ok((*answer)?),
            Answers::Ledger(_) => Err(EngineError::Internal),
        }
    }

    /// One account; `None` if there is none, or it was deleted.
    ///
    /// # Errors
    /// As [`Handle::list_entries`].
    pub async fn account(&self, account_id: AccountId) -> Result<Option<AccountRecord>, EngineError> {
        let ids = [account_id];
        Ok(self.read(self.reader.accounts(&ids)).await?.pop())
    }

    /// Accounts, newest first.
    #[allow(clippy::missing_errors_doc, reason = "as account")]
    pub async fn list_accounts(&self, page: Page) -> Result<Vec<AccountRecord>, EngineError> {
        self.read(self.reader.list_accounts(page)).await
    }

    /// Keys that hold a secret, in the order of account, purpose and key id.
    #[allow(clippy::missing_errors_doc, reason = "as account")]
    pub async fn sealed_keys(
        &self,
        after: (AccountId, &str, &str),
        limit: u32,
    ) -> Result<Vec<AccountKey>, EngineError> {
        self.read(self.reader.sealed_keys(after, limit)).await
    }

    /// What was changed of an account, or of all, newest first.
    #[allow(clippy::missing_errors_doc, reason = "as account")]
    pub async fn audit_log(
        &self,
        account_id: Option<AccountId>,
        page: Page,
    ) -> Result<Vec<AuditRecord>, EngineError> {
        self.read(self.reader.audit_log(account_id, page)).await
    }

    pub(super) async fn due_leases(&self, limit: u32) -> Result<Vec<Text>, EngineError> {
        self.reader.due_leases(limit).await.map_err(|error| {
            tracing::debug!(%error, "the sweep could not look for expired leases");
            EngineError::of_store(&error)
        })
    }
}

/// When to try again, and whether it waits for one account alone; `None` where there is no point in it: what only an
/// operator can end is not waited for.
fn worth_waiting(refused: &Rejection) -> Option<(Duration, bool)> {
    match refused {
        &Rejection::NoKeyAvailable { why: Why::AllBusy | Why::CoolingDown, retry_after_micros, is_tied } => {
            Some((Duration::from_micros(retry_after_micros.unsigned_abs()), is_tied))
        }
        _ => None,
    }
}
