//! The sampler: reads now and then what only the database knows, and puts it where the instruments find it.
//!
//! One sample at a time, on a reader's connection, given up after [`PATIENCE`]: whoever scrapes, and however often, the
//! database is asked once in a while and no more. A sample that fails leaves the last one, whose age is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::keypool::workspace::{health, limit_of};
use crate::keypool::{AccountStatus, Workspace};
use crate::ledger::{Micros, Text};
use crate::meter::{AccountFigure, Figures, MOST_ACCOUNTS, Meters, RunFigure, WorkspaceFigure};
use crate::store::reconcile::{ReconcileStore, Run, RunState};
use crate::store::{Page, PoolRows, Reader, Store, StoreError};

/// How long a sample may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many runs are looked through for the newest that is over.
const RUNS: u32 = 50;
/// A dollar in nano-USD.
const NANO: f64 = 1e9;
/// A second in microseconds.
const SECOND: f64 = 1e6;

/// Where figures are read.
pub struct Sampler {
    reader: Arc<dyn Reader>,
    runs: Option<Arc<dyn ReconcileStore>>,
    meters: Meters,
}

impl Sampler {
    /// Reads from this store, for these instruments.
    pub fn new(store: &dyn Store, meters: Meters) -> Self {
        Self { reader: store.reader(), runs: store.reconcile(), meters }
    }

    /// Samples again and again until it is to stop.
    pub async fn run(self, every: Duration, stopping: CancellationToken) {
        loop {
            let sampled = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                sampled = tokio::time::timeout(PATIENCE, self.sample()) => sampled,
            };
            match sampled {
                Ok(Ok(figures)) => self.meters.sampled(figures),
                // The probe says aloud that the database is away.
                Ok(Err(error)) => tracing::debug!(%error, "the figures of the database could not be read"),
                Err(_) => {
                    tracing::warn!(patience = ?PATIENCE, "the figures of the database take too long to read")
                }
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    async fn sample(&self) -> Result<Figures, StoreError> {
        let found = self.reader.figures().await?;
        let pool = self.reader.key_pool().await?;
        let now = self.reader.now().await?;
        let runs = match &self.runs {
            Some(runs) => runs.list_runs(Page { before: None, limit: RUNS }).await?,
            None => Vec::new(),
        };
        Ok(Figures {
            database_bytes: count(found.bytes),
            holds_open: count(found.holds),
            holds_points: count(found.held_points),
            holds_overdue: count(found.holds_overdue),
            leases_open: count(found.leases),
            leases_overdue: count(found.leases_overdue),
            run: newest_over(&runs, now),
            runs_waiting: count_of(runs.iter().filter(|run| run.state == RunState::Running).count()),
            ..of_pool(&pool)
        })
    }
}

/// What the key pool looks like.
fn of_pool(pool: &PoolRows) -> Figures {
    let workspaces: BTreeMap<&Text, &Workspace> =
        pool.workspaces.iter().map(|workspace| (&workspace.workspace, workspace)).collect();
    let in_flight: BTreeMap<&Text, u32> =
        pool.usage.iter().map(|usage| (&usage.workspace, usage.in_flight)).collect();
    let mut by_state: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
    let mut accounts = Vec::new();
    for account in &pool.accounts {
        let Some(workspace) = workspaces.get(&account.workspace) else { continue };
        let (health, _) = health(account, workspace);
        *by_state.entry((account.status.as_str(), health.as_str())).or_default() += 1;
        if !account.status.is_out() {
            accounts.push(AccountFigure {
                account_id: account.account_id,
                name: account.name.to_string(),
                health: health.as_str(),
                leases: count(account.use_cnt),
                errors: count(account.error_cnt),
            });
        }
    }
    accounts.sort_by_key(|account| account.account_id);
    accounts.truncate(MOST_ACCOUNTS);
    // In the order of their first accounts, so that those shown are shown with theirs.
    let mut shown: Vec<(i64, WorkspaceFigure)> = Vec::new();
    for (name, workspace) in &workspaces {
        let own = || {
            let own = pool.accounts.iter().filter(|account| account.workspace == **name);
            own.filter(|account| account.status != AccountStatus::Deleted)
        };
        let Some(first) = own().map(|account| account.account_id).min() else { continue };
        shown.push((
            first,
            WorkspaceFigure {
                workspace: name.to_string(),
                leases: in_flight.get(name).copied().unwrap_or(0).into(),
                slots: limit_of(own()).into(),
                balance_usd: workspace.balance_nano_usd.map(|nano| nano as f64 / NANO),
            },
        ));
    }
    shown.sort_by_key(|(first, _)| *first);
    shown.truncate(MOST_ACCOUNTS);
    let accounts_by_state =
        by_state.into_iter().map(|((status, health), count)| (status, health, count)).collect();
    let workspaces = shown.into_iter().map(|(_, workspace)| workspace).collect();
    Figures { accounts_by_state, accounts, workspaces, ..Figures::default() }
}

/// The newest run that is over, and how far back the judged periods end.
fn newest_over(runs: &[Run], now: Micros) -> Option<RunFigure> {
    let newest = runs.iter().filter_map(|run| Some((run.complete_time?, run))).max_by_key(|(over, _)| *over);
    let (over, run) = newest?;
    let judged = runs.iter().filter(|run| matches!(run.state, RunState::Completed | RunState::Partial));
    let until = judged.map(|run| run.end).max().unwrap_or(run.start);
    Some(RunFigure {
        state: run.state.as_str(),
        age_seconds: seconds(over, now),
        period_age_seconds: seconds(until, now),
        findings: run.findings.map(count),
    })
}

fn seconds(from: Micros, to: Micros) -> f64 {
    to.0.saturating_sub(from.0) as f64 / SECOND
}

/// What the database counts is never below zero.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn count_of(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: i64, state: RunState, end: i64, complete_time: Option<i64>) -> Run {
        Run {
            id,
            state,
            start: Micros(0),
            end: Micros(end * 1_000_000),
            account_ids: Vec::new(),
            user_ids: Vec::new(),
            apply_costs: false,
            settings: Text::default(),
            actor: Text::default(),
            create_time: Micros(0),
            attempt: 0,
            pass: 0,
            tries: 0,
            retry_time: None,
            evidence_time: None,
            complete_time: complete_time.map(|seconds| Micros(seconds * 1_000_000)),
            phase: Text::default(),
            done: 0,
            total: 0,
            findings: [id, 0, 0],
            cost_changes: 0,
            costs_applied: 0,
            summary: Text::default(),
            error: Text::default(),
        }
    }

    #[test]
    fn the_newest_run_that_is_over_counts_and_a_failed_one_judges_no_period() {
        let runs = [
            run(3, RunState::Running, 90, None),
            run(2, RunState::Failed, 80, Some(95)),
            run(1, RunState::Completed, 60, Some(65)),
        ];
        let figure = newest_over(&runs, Micros(100_000_000)).unwrap();
        assert_eq!((figure.state, figure.findings), ("failed", [2, 0, 0]));
        assert_eq!((figure.age_seconds, figure.period_age_seconds), (5.0, 40.0));
        assert_eq!(newest_over(&runs[..1], Micros(0)), None);
    }
}
