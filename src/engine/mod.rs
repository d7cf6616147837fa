//! The engine: gathers concurrent commands into batches and answers each caller after its batch is durably stored.
//!
//! The phases of a command:
//!
//! 1. [`Handle`] checks it against the limits and queues it with a lane, as `routing` says: a full queue, and one that
//!    would take too long, answers at once: nobody waits to wait;
//! 2. a lane takes whatever is waiting as one batch, never waiting for more;
//! 3. the batch's tasks are resolved to their users, and its footprint is drawn up;
//! 4. the store locks, reads, has `judge` decide (the ledger, and the key pool where keys are asked for), writes and
//!    commits; a conflict is decided again, an unknown outcome is resolved;
//! 5. every caller gets the outcome of its own items ([`Answer`]); replays read the original's entries first.
//!
//! While one batch commits, the next gathers. A caller that goes away cancels nothing: its command runs to its end.

mod answer;
pub(crate) mod bounds;
mod complaints;
mod error;
mod expiry;
mod handle;
mod judge;
mod keys;
mod lane;
mod proposals;
mod pursuit;
mod queue;
mod reads;
mod resolve;
mod routing;
mod secrets;
mod told;
mod verify;
mod waiting;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Ids;
use crate::keypool;
use crate::ledger::Limits;
use crate::meter::Meters;
use crate::store::Store;
use crate::vault::Keyring;

/// The queries and rows of reads: those who speak to the [`Handle`] need not know the store.
pub use crate::store::rows;
pub use answer::{Answer, KeyAnswer};
pub use error::EngineError;
pub(crate) use error::logged;
pub use handle::Handle;
pub use keys::Wait;
pub use secrets::GrantedKey;
pub use verify::{Disagreement, Verification, verify};

/// How the engine works. Every bound is enforced.
#[derive(Clone, Debug)]
pub struct Options {
    /// What callers may send.
    pub limits: Limits,
    /// How the key pool judges.
    pub pool: keypool::Settings,
    /// What opens the keys of accounts.
    pub keyring: Arc<Keyring>,
    /// Commands that may wait for a batch, a lane.
    pub queue_items: usize,
    /// Bytes that waiting commands may keep, a lane.
    pub queue_bytes: usize,
    /// How long a command may have to wait for its batch, as far as that can be foreseen: whoever would wait longer is
    /// told at once. The next batch takes commands in any case.
    pub queue_wait: Duration,
    /// Items after which a batch is closed; a larger single call is a batch of its own.
    pub batch_items: usize,
    /// Writers, each with a connection of its own; users are spread over them.
    pub lanes: usize,
    /// Lists and look-ups that read at once. Two less than the connections that the stores read with by default: the
    /// rest is for what writes and health cannot do without.
    pub reads: usize,
    /// How often a conflicting batch is decided again before its callers are told to retry.
    pub conflict_retries: u32,
    /// How long an unknown outcome is pursued before its callers are told that it is unknown.
    pub resolve_for: Duration,
    /// How often holds are looked over for expiry.
    pub sweep_every: Duration,
    /// How often the database is asked whether it is there.
    pub probe_every: Duration,
    /// How long batch ids are kept for outcomes that are still unknown.
    pub commit_ids_kept: Duration,
    /// What it tells of itself, and to whom.
    pub meters: Meters,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            pool: keypool::Settings::default(),
            keyring: Arc::new(Keyring::default()),
            queue_items: 16_384,
            queue_bytes: 64 << 20,
            queue_wait: Duration::from_secs(1),
            batch_items: 2_048,
            lanes: 1,
            reads: 6,
            conflict_retries: 20,
            resolve_for: Duration::from_secs(15),
            sweep_every: Duration::from_millis(500),
            probe_every: Duration::from_secs(1),
            commit_ids_kept: Duration::from_secs(24 * 3600),
            meters: Meters::off(),
        }
    }
}

/// The running engine. Dropping it leaves its tasks running; [`Engine::drain`] ends them in order.
pub struct Engine {
    handle: Handle,
    tasks: TaskTracker,
    /// Ends the background work that only makes more work.
    background: CancellationToken,
    /// Closes the queues: what is in them is still answered.
    closing: CancellationToken,
}

impl Engine {
    /// Starts the lanes, the reads and the background work on the current runtime.
    pub fn start(store: &dyn Store, ids: Arc<dyn Ids>, options: Options) -> Self {
        let tasks = TaskTracker::new();
        let background = CancellationToken::new();
        let closing = CancellationToken::new();
        let (up, store_up) = watch::channel(true);
        let options = Arc::new(options);
        let reader = store.reader();

        let proposals = Arc::new(proposals::Proposals::new(Arc::clone(&reader), options.pool));
        let waiting = waiting::WaitingRoom::new(background.clone());
        let lanes = (0..options.lanes.max(1))
            .map(|_| {
                let keyring = Arc::clone(&options.keyring);
                let (sender, receiver) = queue::channel(queue::Bounds {
                    jobs: options.queue_items,
                    bytes: options.queue_bytes,
                    batch_items: options.batch_items,
                    wait: options.queue_wait,
                });
                watch(&options.meters, &sender);
                let lane = lane::Lane {
                    writer: store.writer(),
                    reader: Arc::clone(&reader),
                    ids: Arc::clone(&ids),
                    options: Arc::clone(&options),
                    answering: answer::Answering::new(Arc::clone(&reader), keyring, tasks.clone()),
                    proposals: Arc::clone(&proposals),
                    waiting: waiting.clone(),
                    next_prune: lane::Lane::first_prune(),
                };
                tasks.spawn(lane.run(receiver, closing.clone()));
                sender
            })
            .collect();
        if options.meters.is_on() {
            let seats = waiting.clone();
            options.meters.engine().watch_waiting(move || seats.count());
        }
        let balances = reads::spawn(&tasks, Arc::clone(&reader), closing.clone());
        let way = handle::Way { waiting, ids, options: Arc::clone(&options) };
        let handle = Handle::new(lanes, balances, Arc::clone(&reader), way, store_up);
        tasks.spawn(expiry::sweep(handle.clone(), options.sweep_every, background.clone()));
        tasks.spawn(expiry::keep_fresh(proposals, background.clone()));
        let meters = options.meters.clone();
        tasks.spawn(reads::probe(reader, options.probe_every, (up, meters), background.clone()));
        tasks.close();
        Self { handle, tasks, background, closing }
    }

    /// The way in.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Refuses what comes from now on, answers everything accepted, and returns once it is answered. A caller that
    /// must not wait for ever bounds this with a timeout.
    pub async fn drain(self) {
        self.background.cancel();
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

/// Has a lane's queue looked at whenever somebody reads the instruments.
fn watch(meters: &Meters, queue: &queue::Sender) {
    if !meters.is_on() {
        return;
    }
    let queue = queue.clone();
    meters.engine().watch_queue(move || queue.look());
}
