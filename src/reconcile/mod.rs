//! Reconciliation: what fal billed, what the tasks say and what the users paid, compared for a period, again and again.
//!
//! The phases of a run:
//!
//! | phase | where | what |
//! |---|---|---|
//! | begin | [`Handle::start`], `schedule` | the period is checked, the run's row written; any replica may work at it |
//! | take up | `worker`, `retry` | one process at a time, by a lease that it renews, and whoever takes up last alone may write; the least tried first, then the oldest |
//! | fetch | `fetch` | balances and names of workspaces, then events and usage, through one account a workspace; each page is kept with the place after it |
//! | judge | `judge` | one snapshot, folded by [`crate::audit`]; findings, rows and costs are kept in chunks |
//! | apply | `run` | if asked for: billed costs to the tasks, and nothing else |
//! | over | `run` | completed, partial where something could not be fetched, or failed |
//!
//! It never moves a user's money, and it needs no caller: [`Handle`] begins runs and reads what they left. The same
//! evidence gives the same findings, before and after costs are applied.

mod accounts;
mod balances;
mod error;
mod failure;
mod fetch;
mod handle;
mod judge;
mod keeper;
mod pages;
mod period;
mod progress;
mod retry;
mod run;
mod schedule;
mod settings;
mod summary;
mod usage;
mod watch;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::engine;
use crate::fal;
use crate::store::reconcile::ReconcileStore;
use crate::store::{Reader, Store};

/// The rows of runs: those who speak to the [`Handle`] need not know the store.
pub use crate::store::reconcile::{FindingQuery, FindingRow, ReportRow, Run, RunState};
pub use error::Error;
pub use failure::{Failure, Reason, Source};
pub use handle::{Handle, Start, Started};
pub use progress::{Phase, Progress};
pub use retry::Retry;
pub use schedule::MOST_MISSED;
pub use settings::Settings;
pub use summary::Summary;
pub use usage::{UsageAnswer, UsageLine, UsageQuestion};
pub use watch::{Glimpse, Watch};

/// The lease of the process that works at runs.
const WORK: &str = "reconcile";
/// The lease of the process that refreshes balances.
const BALANCES: &str = "reconcile-balances";

/// Who is written as the actor of a run that a command of an operator began.
pub const COMMAND: &str = "cli";

/// Which runs a process works at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Works {
    /// All that wait, whoever began them.
    AtAll,
    /// Those that it began: it may not have the keys and settings that others need.
    AtItsOwn,
}

/// How reconciliation works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which runs it works at. Default all.
    pub works: Works,
    /// What runs judge by.
    pub settings: Settings,
    /// Workspaces that are asked at once. Default 4.
    pub parallel: usize,
    /// How long a process that fell silent keeps the work from others. Default 30 s.
    pub hold_for: Duration,
    /// How often work is looked for, and runs of other processes are looked at. Default 1 s.
    pub poll_every: Duration,
    /// How often and when a run that came to no end is taken up again.
    pub retry: Retry,
    /// How often a run begins by itself; `None`: never. See [`Handle`].
    pub reconcile_every: Option<Duration>,
    /// How often the balances of all workspaces are asked for; `None`: by runs alone.
    pub balance_every: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            works: Works::AtAll,
            settings: Settings::default(),
            parallel: 4,
            hold_for: Duration::from_secs(30),
            poll_every: Duration::from_secs(1),
            retry: Retry::default(),
            reconcile_every: None,
            balance_every: None,
        }
    }
}

impl Options {
    fn hold_micros(&self) -> i64 {
        i64::try_from(self.hold_for.as_micros()).unwrap_or(i64::MAX)
    }
}

/// What handle and worker share.
struct Parts {
    store: Arc<dyn ReconcileStore>,
    reader: Arc<dyn Reader>,
    engine: engine::Handle,
    client: fal::Client,
    options: Options,
    /// Names this process.
    holder: Uuid,
}

/// The running reconciliation. [`Reconciler::drain`] ends it between two pages; what it was at is taken up again.
pub struct Reconciler {
    handle: Handle,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Reconciler {
    /// Starts looking for work on the current runtime; `None` of a store that keeps no runs.
    pub fn start(
        store: &dyn Store,
        engine: engine::Handle,
        client: fal::Client,
        holder: Uuid,
        options: Options,
    ) -> Option<Self> {
        let reader = store.reader();
        let parts = Arc::new(Parts { store: store.reconcile()?, reader, engine, client, options, holder });
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let handle = Handle::new(Arc::clone(&parts));
        tasks.spawn(worker::work(Arc::clone(&parts), handle.signals(), stopping.clone()));
        tasks.spawn(worker::refresh_balances(parts, stopping.clone()));
        tasks.close();
        Some(Self { handle, tasks, stopping })
    }

    /// The way in.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the work between two pages and gives its lease back. A caller that must not wait for ever bounds this with
    /// a timeout; the engine must outlive it.
    pub async fn drain(self) {
        self.stopping.cancel();
        self.tasks.wait().await;
    }
}
