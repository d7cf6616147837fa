//! The work in the background: runs that wait are taken up, runs by schedule are begun, balances are refreshed.
//!
//! Every replica has this loop. A lease by name lets one of them work at a time; it is renewed while a run goes on, and
//! a process that fell silent loses it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::progress::Local;
use super::run::{self, Halt};
use super::schedule::{self, Period, SCHEDULE};
use super::{BALANCES, Parts, Settings, WORK, Works, balances};
use crate::ledger::{Field, Fingerprint, Micros, Text};
use crate::store::reconcile::{Begun, NewRun, Run};

/// How the handle and the worker hear of each other.
#[derive(Clone)]
pub(super) struct Signals {
    /// A run was begun here.
    pub(super) begun: Arc<Notify>,
    /// The runs that were begun here.
    pub(super) own: Arc<Mutex<BTreeSet<i64>>>,
    /// How far the run is that is worked at here.
    pub(super) told: watch::Sender<Local>,
}

/// Looks for work until it is to stop.
pub(super) async fn work(parts: Arc<Parts>, signals: Signals, stopping: CancellationToken) {
    // The end of the newest period that has its run: what is known need not be looked up again.
    let mut begun_until = None;
    loop {
        if let Err(halt) = turn(&parts, &signals, &stopping, &mut begun_until).await {
            match halt {
                Halt::Stopped | Halt::Superseded => {}
                Halt::Store(error) => tracing::warn!(%error, "reconciliation waits for the database"),
                Halt::Engine(error) => tracing::warn!(%error, "reconciliation waits for the engine"),
                Halt::Failed(why) => tracing::error!(why, "reconciliation could not look for work"),
            }
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = signals.begun.notified() => {}
            () = tokio::time::sleep(parts.options.poll_every) => {}
        }
    }
}

/// Begins what is due, and works at what waits if no other process does.
async fn turn(
    parts: &Arc<Parts>,
    signals: &Signals,
    stopping: &CancellationToken,
    begun_until: &mut Option<Micros>,
) -> Result<(), Halt> {
    if let Some(every) = parts.options.reconcile_every {
        begin_due(parts, every, begun_until).await?;
    }
    while !stopping.is_cancelled() && next(parts, signals).await?.is_some() {
        if !parts.store.hold(WORK, parts.holder, parts.options.hold_micros()).await? {
            return Ok(());
        }
        // Read again under the lease: the one who had it may have ended the run meanwhile.
        let next = next(parts, signals).await?;
        let ended = match &next {
            Some(run) => run::work(parts, run, &signals.told, stopping.child_token()).await,
            None => Ok(()),
        };
        let let_go = parts.store.let_go(WORK, parts.holder).await;
        ended?;
        let_go?;
    }
    Ok(())
}

/// The run that is this process's next: of those that may be taken up now the least tried, of these the oldest.
async fn next(parts: &Parts, signals: &Signals) -> Result<Option<Run>, Halt> {
    let mut waiting = parts.store.unfinished_runs().await?;
    if parts.options.works == Works::AtItsOwn {
        let own = signals.own.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|run| own.contains(&run.id));
    }
    if waiting.is_empty() {
        return Ok(None);
    }
    let now = parts.engine.now().await?;
    let ready = waiting.into_iter().filter(|run| run.retry_time.is_none_or(|time| time <= now));
    Ok(ready.min_by_key(|run| (run.tries, run.id)))
}

/// Begins the run of the newest whole period that ended a lag ago. Periods are counted from 1970, so that every replica
/// names the same one, and the name of the run lets one of them begin it. What a stop of all replicas left out, or runs
/// before it could not judge, is in its period: see [`schedule::start`].
async fn begin_due(parts: &Parts, every: Duration, begun_until: &mut Option<Micros>) -> Result<(), Halt> {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
    let lag = parts.options.settings.thresholds.billing_lag_micros;
    let due = parts.engine.now().await?.plus(lag.saturating_neg());
    let end = Micros(due.0.div_euclid(every).saturating_mul(every));
    if begun_until.is_some_and(|until| until >= end) {
        return Ok(());
    }
    let before = schedule::before(parts, end).await?;
    let newest = before.iter().map(Period::end).max();
    if newest.is_some_and(|newest| newest >= end) {
        *begun_until = newest;
        return Ok(());
    }
    let start = schedule::start(&before, end, every);
    let request_id = format!("{SCHEDULE}-{every}-{}", end.0);
    let settings = Settings { judges_ended_days: true, ..parts.options.settings.clone() };
    let new = NewRun {
        request_id: Some(request_id.as_str().into()),
        actor: Text::from(SCHEDULE),
        start,
        end,
        account_ids: Vec::new(),
        user_ids: Vec::new(),
        apply_costs: true,
        settings: settings.to_json().into(),
        content: Fingerprint::new().text(Field::Reason, &request_id),
    };
    if let Begun::Reused(_) = parts.store.create_run(&new).await? {
        tracing::error!(
            request_id = new.request_id.as_deref(),
            "another run has this request id: begin one for the period by hand"
        );
    }
    *begun_until = Some(end);
    Ok(())
}

/// Asks for the balances of all workspaces, again and again, in one process at a time.
pub(super) async fn refresh_balances(parts: Arc<Parts>, stopping: CancellationToken) {
    let Some(every) = parts.options.balance_every else { return };
    let micros = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    loop {
        // Not given back: until it ends, nobody need ask again.
        match parts.store.hold(BALANCES, parts.holder, micros).await {
            Ok(true) => {
                let refreshed = tokio::select! {
                    biased;
                    () = stopping.cancelled() => return,
                    refreshed = balances::refresh(&parts.engine, &parts.client) => refreshed,
                };
                if let Err(error) = refreshed {
                    tracing::warn!(%error, "the balances of the accounts could not be refreshed");
                }
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the lease of balances could not be taken"),
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}
