//! One run, from where it stands to its end: fetch → judge → apply → over.
//!
//! Whatever ends it before (a crash, a drain, a database that is away) leaves it running: whoever takes it up again
//! fetches what is missing and judges anew, or goes on applying where it had begun to. It waits longer each time, while
//! others go on, and is given up after some tries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::fetch::Fetcher;
use super::judge::Judge;
use super::progress::{Local, Phase, Progress, Reporter};
use super::settings::Settings;
use super::{COMMAND, Parts, WORK, Works};
use crate::audit::{self, Disorder};
use crate::engine::EngineError;
use crate::ledger::Micros;
use crate::meter::SPANS;
use crate::store::StoreError;
use crate::store::reconcile::{Run, RunChange, RunState, Turn, WriteError};

/// How often a run tells its row how far it is, and its lease that it is at it.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Tasks whose cost is written in one commit.
const COSTS: u32 = 1_000;

/// Why a run did not come to its end now.
#[derive(Debug)]
pub(super) enum Halt {
    /// This process is to stop, or its lease is another one's.
    Stopped,
    /// Another process has taken this run or another one up.
    Superseded,
    /// The database did not do its part.
    Store(StoreError),
    /// The engine did not.
    Engine(EngineError),
    /// It cannot come to an end at all.
    Failed(String),
}

impl Halt {
    /// Whether it may be the run that is at fault. A disk that is full or a stop is not.
    const fn counts(&self) -> bool {
        match self {
            Halt::Stopped | Halt::Superseded => false,
            Halt::Store(error) => !matches!(error, StoreError::Full { .. } | StoreError::ReadOnly { .. }),
            Halt::Engine(_) | Halt::Failed(_) => true,
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::Stopped => f.write_str("this process is stopping"),
            Halt::Superseded => f.write_str("another process has taken it up"),
            Halt::Store(error) => error.fmt(f),
            Halt::Engine(error) => error.fmt(f),
            Halt::Failed(why) => f.write_str(why),
        }
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            // Nothing that passes: the log has the driver's words.
            StoreError::Bug { .. } => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "a run of reconciliation failed");
                Halt::Failed("internal error, recorded in the server's log".to_owned())
            }
            error => Halt::Store(error),
        }
    }
}

impl From<WriteError> for Halt {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Superseded => Halt::Superseded,
            WriteError::Store(error) => error.into(),
        }
    }
}

impl From<EngineError> for Halt {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Internal => Halt::Failed("internal error, recorded in the server's log".to_owned()),
            error => Halt::Engine(error),
        }
    }
}

impl From<Disorder> for Halt {
    fn from(disorder: Disorder) -> Self {
        Halt::Failed(format!("the evidence contradicts itself: {disorder}"))
    }
}

/// The audit counts as the ledger does, with a type of its own.
pub(super) const fn micros(time: Micros) -> audit::Micros {
    audit::Micros(time.0)
}

/// Takes a run up, as it was read, and to its end.
///
/// # Errors
/// Whatever keeps it from its end now; it is then still running, and waits.
pub(super) async fn work(
    parts: &Arc<Parts>,
    waiting: &Run,
    told: &watch::Sender<Local>,
    stop: CancellationToken,
) -> Result<(), Halt> {
    let again = parts.options.retry.wait(waiting.tries, parts.holder);
    let Some(turn) = parts.store.take_up(waiting, again).await? else { return Ok(()) };
    let Some(run) = parts.store.run(turn.run_id).await?.filter(|run| run.attempt == turn.attempt) else {
        return Ok(());
    };
    if waiting.tries >= parts.options.retry.tries {
        return give_up(parts, turn, format!("given up: {} attempts came to no end", waiting.tries)).await;
    }
    if is_left(parts, &run).await? {
        return give_up(parts, turn, "the command that began it left it over a day ago".to_owned()).await;
    }
    tracing::info!(reconciliation_id = run.id, phase = &*run.phase, "reconciliation works at a run");
    let reporter = Arc::new(Reporter::new(run.id, told.clone(), stop.clone()));
    let telling = tell(Arc::clone(parts), turn, Arc::clone(&reporter), stop);
    let telling = Telling(tokio::spawn(telling).abort_handle());
    let span =
        tracing::info_span!(target: SPANS, parent: None, "reconciliation", scrip.reconciliation.id = run.id);
    let work = Work { parts, run: &run, turn, reporter: &reporter };
    let ended = work.to_its_end().instrument(span).await;
    drop(telling);
    match ended {
        Ok(()) => Ok(()),
        Err(Halt::Failed(why)) => give_up(parts, turn, why).await,
        Err(halt) if halt.counts() && run.tries >= parts.options.retry.tries => {
            give_up(parts, turn, format!("given up after {} attempts; the last: {halt}", run.tries)).await
        }
        Err(halt) => set_aside(parts, turn, again, halt).await,
    }
}

/// How long after its beginning a server takes up what a command left.
const COMMAND_LASTS: i64 = 24 * 3_600 * 1_000_000;

/// Whether a command began it so long ago that nobody waits for it: to write costs now would surprise people.
async fn is_left(parts: &Parts, run: &Run) -> Result<bool, Halt> {
    if &*run.actor != COMMAND || parts.options.works == Works::AtItsOwn {
        return Ok(false);
    }
    Ok(parts.engine.now().await? > run.create_time.plus(COMMAND_LASTS))
}

fn failed(why: &str) -> RunChange {
    RunChange {
        state: Some(RunState::Failed),
        phase: Some(Phase::Over.as_str().into()),
        error: Some(why.into()),
        ..RunChange::default()
    }
}

/// Ends a run for good.
async fn give_up(parts: &Parts, turn: Turn, why: String) -> Result<(), Halt> {
    tracing::error!(reconciliation_id = turn.run_id, why, "reconciliation gives a run up");
    Ok(parts.store.update_run(turn, &failed(&why)).await?)
}

/// Lets a run wait for whoever takes it up next. Who has lost it has nothing to say any more.
async fn set_aside(parts: &Parts, turn: Turn, again: i64, halt: Halt) -> Result<(), Halt> {
    let again = if matches!(halt, Halt::Stopped) { 0 } else { again };
    let told = match &halt {
        Halt::Superseded => Err(WriteError::Superseded),
        halt => parts.store.set_aside(turn, again, halt.counts()).await,
    };
    match told {
        Ok(()) => Err(halt),
        Err(WriteError::Superseded) => {
            tracing::info!(
                reconciliation_id = turn.run_id,
                "a run of reconciliation is another process's now"
            );
            Ok(())
        }
        Err(WriteError::Store(error)) => {
            // It waits all the same, as it was told to when it was taken up.
            tracing::debug!(%error, "a run of reconciliation could not be set aside");
            Err(halt)
        }
    }
}

struct Work<'a> {
    parts: &'a Parts,
    run: &'a Run,
    turn: Turn,
    reporter: &'a Reporter,
}

impl Work<'_> {
    async fn to_its_end(&self) -> Result<(), Halt> {
        let (parts, run) = (self.parts, self.run);
        let is_judged = &*run.phase == Phase::Applying.as_str() && !run.summary.is_empty();
        let mut state = RunState::Completed;
        if is_judged {
            self.reporter.found(run.findings);
            if super::Summary::from_json(&run.summary).is_none_or(|kept| kept.is_partial()) {
                state = RunState::Partial;
            }
        } else {
            state = self.fetch_and_judge(state).await?;
        }
        if run.apply_costs {
            self.apply().await?;
        }
        let over = RunChange {
            state: Some(state),
            phase: Some(Phase::Over.as_str().into()),
            done: Some(0),
            total: Some(0),
            ..RunChange::default()
        };
        parts.store.update_run(self.turn, &over).await?;
        tracing::info!(reconciliation_id = run.id, state = state.as_str(), "a run of reconciliation is over");
        Ok(())
    }

    async fn fetch_and_judge(&self, mut state: RunState) -> Result<RunState, Halt> {
        let (parts, run) = (self.parts, self.run);
        let settings = Settings::from_json(&run.settings)
            .ok_or_else(|| Halt::Failed("its settings cannot be read by this version".to_owned()))?;
        // The first answer of fal is as old as this: nothing younger is missed by the tasks that are judged by it.
        let evidence_time = match run.evidence_time {
            Some(time) => time,
            None => {
                let now = parts.engine.now().await?;
                let change = RunChange { evidence_time: Some(now), ..RunChange::default() };
                parts.store.update_run(self.turn, &change).await?;
                now
            }
        };
        let events = events(run, &settings);
        let fetcher = Fetcher {
            store: &*parts.store,
            engine: &parts.engine,
            client: &parts.client,
            run,
            turn: self.turn,
            events,
            usage: usage(run, &settings, evidence_time),
            parallel: parts.options.parallel,
            reporter: self.reporter,
            answers: AtomicI64::new(0),
        };
        let sources = fetcher.fetch().await?;
        let judge = Judge {
            store: &*parts.store,
            reader: &*parts.reader,
            run,
            turn: self.turn,
            settings: &settings,
            sources,
            events,
            evidence_time,
            reporter: self.reporter,
        };
        let judged = judge.judge().await?;
        if judged.summary.is_partial() {
            state = RunState::Partial;
        }
        let change = RunChange {
            phase: Some(Phase::Applying.as_str().into()),
            findings: Some(judged.findings),
            cost_changes: Some(judged.cost_changes),
            summary: Some(judged.summary.to_json().into()),
            detail: Some(judged.detail.to_json().into()),
            ..RunChange::default()
        };
        parts.store.update_run(self.turn, &change).await?;
        Ok(state)
    }

    /// Writes the planned costs, chunk by chunk. One that was written before is passed over.
    async fn apply(&self) -> Result<(), Halt> {
        let (mut after, mut seen) = (-1, 0_i64);
        loop {
            self.reporter.show(Phase::Applying, seen, 0);
            if self.reporter.is_stopped() {
                return Err(Halt::Stopped);
            }
            let chunk = self.parts.store.apply_costs(self.turn, after, COSTS).await?;
            (after, seen) = (chunk.after, seen.saturating_add(chunk.seen.into()));
            if chunk.seen < COSTS {
                return Ok(());
            }
        }
    }
}

/// The period that events are asked for. It reaches back as far as a task may have been too young for the run that was
/// about it, and as far after the end as one may have been running; not to what had not happened when the run was begun.
fn events(run: &Run, settings: &Settings) -> (Micros, Micros) {
    let audit::Thresholds { billing_lag_micros: lag, stuck_after_micros: stuck, .. } = settings.thresholds;
    let start = run.start.plus(stuck.saturating_add(lag).saturating_neg());
    (start, run.end.plus(stuck.saturating_add(lag)).min(run.create_time).max(run.end))
}

/// The period that the usage is asked for: as much of the run's as is older than the lag, since rule B7 holds it against
/// the events of the same time, and fal may still write to both where it is younger. Of a period that is younger all of
/// it: there is nothing to judge, but something to show.
fn usage(run: &Run, settings: &Settings, evidence_time: Micros) -> (Micros, Micros) {
    let due = evidence_time.plus(settings.thresholds.billing_lag_micros.saturating_neg());
    let end = if due > run.start { run.end.min(due) } else { run.end };
    (run.start, end)
}

/// Tells a run's row how far it is, and keeps the lease of the work; where that is lost, the work is to stop.
async fn tell(parts: Arc<Parts>, turn: Turn, reporter: Arc<Reporter>, stop: CancellationToken) {
    let mut told = Progress::BEGINNING;
    let mut held = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        match parts.store.hold(WORK, parts.holder, parts.options.hold_micros()).await {
            Ok(true) => held = tokio::time::Instant::now(),
            Ok(false) => return stop.cancel(),
            Err(error) => {
                tracing::debug!(%error, "the lease of reconciliation could not be renewed");
                if held.elapsed() >= parts.options.hold_for {
                    return stop.cancel();
                }
            }
        }
        let now = reporter.progress();
        if now == told {
            continue;
        }
        // What a run has found counts once it is stored with the rest: until then this is for people.
        let change = RunChange {
            phase: (now.phase != Phase::Applying).then(|| now.phase.as_str().into()),
            done: Some(now.done),
            total: Some(now.total),
            findings: Some(now.findings),
            ..RunChange::default()
        };
        match parts.store.update_run(turn, &change).await {
            Ok(()) => told = now,
            Err(WriteError::Superseded) => return stop.cancel(),
            Err(WriteError::Store(error)) => {
                tracing::debug!(%error, "a run of reconciliation could not tell how far it is");
            }
        }
    }
}

/// Ends the telling with the work.
struct Telling(AbortHandle);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}
