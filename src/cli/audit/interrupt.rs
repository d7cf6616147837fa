//! What a command does that is told to stop while a run goes on: it ends the run. Nobody would wait for its report, and
//! whoever takes up what is left could write costs long after they were asked for.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::show::of_error;
use crate::cli::failure::Failure;
use crate::reconcile::{Handle, RunState};

/// How long the run's end is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// SIGINT and SIGTERM, from now on.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// The next of them: its name, and the exit code that says so.
    pub(super) async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => ("SIGINT", 130),
            _ = self.terminate.recv() => ("SIGTERM", 143),
        }
    }
}

/// Ends the run, and says what became of it.
pub(super) async fn end(
    handle: &Handle,
    run_id: i64,
    (name, code): (&'static str, u8),
) -> Result<ExitCode, Failure> {
    let why = format!("the command that began it was stopped by {name}");
    let abandoned = tokio::time::timeout(PATIENCE, handle.abandon(run_id, &why)).await;
    match abandoned
        .map_err(|_| Failure::could_not_run("the database does not answer"))
        .and_then(|run| run.map_err(of_error))
    {
        Ok(run) if run.state == RunState::Failed => eprintln!(
            "stopped by {name}: reconciliation {run_id} is ended as FAILED and nothing goes on with it; costs written: {}",
            run.costs_applied
        ),
        Ok(run) => eprintln!(
            "stopped by {name}: reconciliation {run_id} was over before, as {}",
            run.state.as_str().to_uppercase()
        ),
        // Nobody reads: nor would this be read.
        Err(Failure::NobodyReads) => {}
        Err(Failure::Refused(why) | Failure::CouldNotRun(why)) => eprintln!(
            "stopped by {name}: reconciliation {run_id} could not be ended ({why}); a server goes on with it within a day of its \
             beginning, else it ends as FAILED"
        ),
    }
    Ok(ExitCode::from(code))
}
