//! The way into reconciliation: cheap to clone, and all that services and commands see of it.

use std::sync::{Arc, PoisonError};

use tokio::sync::{Notify, watch};

use super::usage::{self, UsageAnswer, UsageQuestion};
use super::watch::Watch;
use super::worker::Signals;
use super::{Error, Parts, Summary, Works, period};
use crate::keypool::AccountId;
use crate::ledger::limits::{Checks, LINE_CHARS};
use crate::ledger::{Field, Fingerprint, Limits, Micros, Rejection, Text, UserId};
use crate::store::Page;
use crate::store::reconcile::{Begun, FindingQuery, FindingRow, NewRun, ReportRow, Run, RunState};

/// Accounts or users that a run may name.
const MOST_NAMED: usize = 1_000;

/// A run that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The caller's idempotency key; empty for none.
    pub request_id: String,
    /// From when, inclusive.
    pub start: Option<Micros>,
    /// Until when, exclusive; `None`: now.
    pub end: Option<Micros>,
    /// The accounts it is about, each with its whole workspace; empty: all.
    pub account_ids: Vec<AccountId>,
    /// The users it is about; empty: all.
    pub user_ids: Vec<UserId>,
    /// Whether billed costs are written to the tasks.
    pub apply_costs: bool,
}

/// A run that was begun, now or by the same call before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// As it is now.
    pub run: Run,
    /// The same call began it before.
    pub replayed: bool,
}

/// What a repeat is compared by, field by field; `account_ids` and `user_ids` sorted.
fn content(asked: &Start, account_ids: &[AccountId], user_ids: &[UserId]) -> Fingerprint {
    let ids = |ids: &[i64]| ids.iter().map(|id| format!("{id},")).collect::<String>();
    Fingerprint::new()
        .optional(Field::StartTime, asked.start.map(|at| at.0))
        .optional(Field::EndTime, asked.end.map(|at| at.0))
        .text(Field::AccountIds, &ids(account_ids))
        .text(Field::UserIds, &ids(user_ids))
        .number(Field::ApplyCosts, asked.apply_costs.into())
}

/// The way into a running [`super::Reconciler`].
///
/// With `reconcile_every` a run begins by itself for each whole stretch of that length, counted from 1970 in UTC, once
/// the billing lag has passed since its end; it applies costs, and its actor is `schedule`.
#[derive(Clone)]
pub struct Handle {
    parts: Arc<Parts>,
    signals: Signals,
}

impl Handle {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        let (told, _) = watch::channel(None);
        Self { parts, signals: Signals { begun: Arc::new(Notify::new()), own: Arc::default(), told } }
    }

    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// The limits that calls are held to.
    pub fn limits(&self) -> &Limits {
        self.parts.engine.limits()
    }

    /// Begins a run and returns at once.
    ///
    /// # Errors
    /// INVALID_FIELD, ACCOUNT_NOT_FOUND, REQUEST_ID_REUSED; otherwise as any write.
    pub async fn start(&self, asked: &Start, actor: &Text) -> Result<Started, Error> {
        let mut checks = Checks::new(self.limits());
        checks.id("request_id", &asked.request_id, LINE_CHARS);
        named("account_ids", &asked.account_ids, &mut checks);
        named("user_ids", &asked.user_ids, &mut checks);
        checks.finish().map_err(Rejection::InvalidField)?;
        let (account_ids, user_ids) = (sorted(&asked.account_ids), sorted(&asked.user_ids));
        let now = self.parts.engine.now().await?;
        let (start, end) = period::check(asked.start, asked.end, now)?;
        for account_id in &account_ids {
            if self.parts.engine.account(*account_id).await?.is_none() {
                return Err(Rejection::AccountNotFound(*account_id).into());
            }
        }
        let content = content(asked, &account_ids, &user_ids);
        let new = NewRun {
            request_id: (!asked.request_id.is_empty()).then(|| asked.request_id.as_str().into()),
            actor: Text::clone(actor),
            start,
            end,
            account_ids,
            user_ids,
            apply_costs: asked.apply_costs,
            settings: self.parts.options.settings.to_json().into(),
            content,
        };
        let (id, replayed) = match self.parts.store.create_run(&new).await? {
            Begun::New(id) => (id, false),
            Begun::Replay(id) => (id, true),
            Begun::Reused(field) => {
                let request_id = asked.request_id.as_str().into();
                return Err(Rejection::RequestIdReused { request_id, field }.into());
            }
        };
        if self.parts.options.works == Works::AtItsOwn {
            self.signals.own.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
        self.signals.begun.notify_one();
        Ok(Started { run: self.get(id).await?, replayed })
    }

    /// One run as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as any read.
    pub async fn get(&self, run_id: i64) -> Result<Run, Error> {
        self.parts.store.run(run_id).await?.ok_or(Error::NotFound(run_id))
    }

    /// Ends a run that is not over as failed, whoever works at it; answers it as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as any write.
    pub async fn abandon(&self, run_id: i64, why: &str) -> Result<Run, Error> {
        loop {
            let run = self.get(run_id).await?;
            if run.state != RunState::Running {
                return Ok(run);
            }
            // Where anybody has taken it up since, or has ended it, it is looked at again: takings-up are seconds apart, so
            // that this comes to its end at the second look.
            self.parts.store.end_run(&run, why).await?;
        }
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// As any read.
    pub async fn list(&self, page: Page) -> Result<Vec<Run>, Error> {
        Ok(self.parts.store.list_runs(page).await?)
    }

    /// What a run keeps of its report besides findings and rows, whole; `None` before it has judged.
    ///
    /// # Errors
    /// As any read.
    pub async fn summary(&self, run: &Run) -> Result<Option<Summary>, Error> {
        let Some(mut summary) = Summary::from_json(&run.summary) else { return Ok(None) };
        summary.complete(&self.parts.store.detail(run.id).await?.unwrap_or_default());
        Ok(Some(summary))
    }

    /// Findings of a run, gravest first; `after` is the place of the last one seen.
    ///
    /// # Errors
    /// As any read.
    pub async fn findings(
        &self,
        query: &FindingQuery,
        after: Option<(i16, &str, i64)>,
        limit: u32,
    ) -> Result<Vec<FindingRow>, Error> {
        Ok(self.parts.store.findings(query, after, limit).await?)
    }

    /// Rows of a run's report by (layer, number), after the place given, each as JSON: a
    /// [`crate::audit::report::WorkspaceRow`] in layer 1, a `TaskRow` in 2, a `UserRow` in 3.
    ///
    /// # Errors
    /// As any read.
    pub async fn rows(&self, run_id: i64, after: (i16, i64), limit: u32) -> Result<Vec<ReportRow>, Error> {
        Ok(self.parts.store.rows(run_id, after, limit).await?)
    }

    /// Tells how a run goes, from now until it is over.
    pub fn watch(&self, run_id: i64) -> Watch {
        Watch::new(Arc::clone(&self.parts), run_id, self.signals.told.subscribe())
    }

    /// Asks fal, now, what its models were used for and what that cost.
    ///
    /// # Errors
    /// INVALID_FIELD, ACCOUNT_NOT_FOUND; [`Error::Upstream`] where no account could be asked.
    pub async fn usage(&self, question: &UsageQuestion) -> Result<UsageAnswer, Error> {
        let mut checks = Checks::new(self.limits());
        named("account_ids", &question.account_ids, &mut checks);
        checks.finish().map_err(Rejection::InvalidField)?;
        usage::ask(&self.parts, question).await
    }
}

fn named(field: &'static str, ids: &[i64], checks: &mut Checks<'_>) {
    if ids.len() > MOST_NAMED {
        checks.violation(field, format!("must not be more than {MOST_NAMED}, are {}", ids.len()));
    }
    if ids.iter().any(|id| *id < 1) {
        checks.violation(field, "must each be 1 or more");
    }
}

fn sorted(ids: &[i64]) -> Vec<i64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}
