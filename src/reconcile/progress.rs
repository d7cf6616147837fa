//! How a run goes, told to those who watch it here and written to its row for those who watch elsewhere.

use std::sync::Mutex;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Fetching from fal and keeping the evidence. Counts what fal answered: pages of events, and all else.
    Fetching,
    /// Matching events with tasks, and judging these. Counts both.
    Matching,
    /// Checking the ledger, and judging users. Counts users.
    Checking,
    /// Writing billed costs. Counts tasks.
    Applying,
    /// Over. Counts nothing.
    Over,
}

impl Phase {
    const ALL: [Phase; 5] = [Phase::Fetching, Phase::Matching, Phase::Checking, Phase::Applying, Phase::Over];

    /// The word stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Fetching => "fetching",
            Phase::Matching => "matching",
            Phase::Checking => "checking",
            Phase::Applying => "applying",
            Phase::Over => "over",
        }
    }

    /// Reads a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// How much of the phase is done.
    pub done: i64,
    /// Of how much; 0 where that is not known.
    pub total: i64,
    /// Findings so far: high, medium, low.
    pub findings: [i64; 3],
}

impl Progress {
    pub(super) const BEGINNING: Progress =
        Progress { phase: Phase::Fetching, done: 0, total: 0, findings: [0; 3] };
}

/// The run that this process works at, and how far it is.
pub(super) type Local = Option<(i64, Progress)>;

/// Tells of one run, and hears when it must not go on.
pub(super) struct Reporter {
    run_id: i64,
    now: Mutex<Progress>,
    told: watch::Sender<Local>,
    stop: CancellationToken,
}

impl Reporter {
    pub(super) fn new(run_id: i64, told: watch::Sender<Local>, stop: CancellationToken) -> Self {
        let reporter = Self { run_id, now: Mutex::new(Progress::BEGINNING), told, stop };
        reporter.change(|_| {});
        reporter
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        // It is whole between its changes, whatever panicked.
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn show(&self, phase: Phase, done: i64, total: i64) {
        // An estimate that proves too small grows with what is there.
        let total = if total == 0 { 0 } else { total.max(done) };
        self.change(|now| (now.phase, now.done, now.total) = (phase, done, total));
    }

    pub(super) fn found(&self, findings: [i64; 3]) {
        self.change(|now| now.findings = findings);
    }

    /// Ends when this process is to stop, or another one has taken the work over.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut now);
        self.told.send_replace(Some((self.run_id, *now)));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.told.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_hear_of_each_change_and_of_the_end() {
        let (told, heard) = watch::channel(None);
        let reporter = Reporter::new(7, told, CancellationToken::new());
        assert_eq!(*heard.borrow(), Some((7, Progress::BEGINNING)));
        reporter.show(Phase::Matching, 5, 3);
        reporter.found([1, 0, 2]);
        let now = Progress { phase: Phase::Matching, done: 5, total: 5, findings: [1, 0, 2] };
        assert_eq!((*heard.borrow(), reporter.progress()), (Some((7, now)), now));
        drop(reporter);
        assert_eq!(*heard.borrow(), None);
    }

    #[test]
    fn phases_read_back() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.as_str()), Some(phase));
        }
        assert_eq!(Phase::parse(""), None);
    }
}
