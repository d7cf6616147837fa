//! Watching a run: one that is worked at here tells of itself, one of another process is looked at in its row.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::progress::{Local, Phase, Progress};
use super::{Error, Parts};
use crate::store::reconcile::{Run, RunState};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Anything but running is the last there is to see.
    pub state: RunState,
    /// What it is at, and how far.
    pub progress: Progress,
}

/// Tells how a run goes, until it is over.
pub struct Watch {
    parts: Arc<Parts>,
    run_id: i64,
    local: watch::Receiver<Local>,
    last: Option<Glimpse>,
}

/// No more than so many glimpses a second.
const PAUSE: Duration = Duration::from_millis(100);

impl Watch {
    pub(super) fn new(parts: Arc<Parts>, run_id: i64, local: watch::Receiver<Local>) -> Self {
        Self { parts, run_id, local, last: None }
    }

    /// How it goes now, when that has changed since the last call; `None` once its end was told. The first call answers
    /// at once. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as any read.
    pub async fn next(&mut self) -> Result<Option<Glimpse>, Error> {
        if self.last.is_some_and(|last| last.state != RunState::Running) {
            return Ok(None);
        }
        loop {
            if self.last.is_some() {
                tokio::time::sleep(PAUSE).await;
                let poll = self.parts.options.poll_every;
                // The worker's end is this process's; its runs are looked at all the same.
                let _ = tokio::time::timeout(poll, self.local.changed()).await;
            }
            let seen = self.look().await?;
            if self.last != Some(seen) {
                self.last = Some(seen);
                return Ok(Some(seen));
            }
        }
    }

    async fn look(&mut self) -> Result<Glimpse, Error> {
        let local = *self.local.borrow_and_update();
        if let (Some((run_id, progress)), Some(_)) = (local, self.last)
            && run_id == self.run_id
        {
            return Ok(Glimpse { state: RunState::Running, progress });
        }
        let run = self.parts.store.run(self.run_id).await?.ok_or(Error::NotFound(self.run_id))?;
        Ok(glimpse(&run))
    }
}

/// How far a run is, as its row has it.
pub(super) fn glimpse(run: &Run) -> Glimpse {
    let phase = Phase::parse(&run.phase).unwrap_or(Phase::Fetching);
    Glimpse {
        state: run.state,
        progress: Progress { phase, done: run.done, total: run.total, findings: run.findings },
    }
}
