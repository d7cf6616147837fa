//! The queue before a lane: bounded in items, in bytes and in how long it takes, and never waited for.
//!
//! How long is foreseen: the batches that wait in full, times what a batch takes. Whoever would wait longer than the
//! bound hears so at once, while a retry still helps; those that the very next batch takes are never turned away, so
//! that the lane has work whatever it refuses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tracing::Span;

use super::EngineError;
use super::answer::Answers;
use super::work::Asked;
use crate::ledger::Text;
use crate::meter::{self, TraceId};

/// One caller's work, and where its answer goes.
pub(super) struct Job {
    pub(super) asked: Asked,
    pub(super) deadline: Option<Instant>,
    /// When it was queued.
    pub(super) queued: Instant,
    /// What asked for it, for traces.
    pub(super) span: Span,
    /// The trace that it is a part of, for lines of the log.
    pub(super) trace: Option<TraceId>,
    reply: oneshot::Sender<Result<Answers, EngineError>>,
    /// Held until the job is answered.
    _bytes: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn answer(self, answer: Result<Answers, EngineError>) {
        // A caller that went away has nobody to tell; what was stored stays stored.
        let _ = self.reply.send(answer);
    }

    /// Who asks for a key, where one is asked for.
    pub(super) fn runner_id(&self) -> Option<Text> {
        self.asked.selecting()?.selection().map(|selection| Text::clone(&selection.runner_id))
    }

    /// Whether nobody waits for it any more: before it enters a batch it may be dropped.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// What a queue may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Jobs.
    pub(super) jobs: usize,
    /// Bytes that they keep.
    pub(super) bytes: usize,
    /// Items of a batch, for the lane takes so many at once.
    pub(super) batch_items: usize,
    /// How long a job may have to wait.
    pub(super) wait: Duration,
}

/// The callers' end.
#[derive(Clone)]
pub(super) struct Sender {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<Semaphore>,
    capacity_bytes: u32,
    bounds: Bounds,
    pace: Arc<Pace>,
}

/// The lane's end.
pub(super) struct Receiver {
    jobs: mpsc::Receiver<Job>,
    pace: Arc<Pace>,
}

/// How the lane gets on.
#[derive(Default)]
struct Pace {
    /// Items that wait.
    items: AtomicUsize,
    batch: Mutex<Batches>,
}

#[derive(Clone, Copy, Default)]
struct Batches {
    /// When the first job of the batch that was taken last was queued: whatever waits was queued later.
    first: Option<Instant>,
    /// Since when it is at work, if it is.
    began: Option<Instant>,
    /// How long the one before it took.
    last: Duration,
}

impl Pace {
    fn batch(&self) -> MutexGuard<'_, Batches> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long whoever comes now waits until a batch takes it, beside the one that is at work.
    fn wait(&self, batch_items: usize) -> Duration {
        let full = self.items.load(Ordering::Relaxed) / batch_items.max(1);
        if full == 0 {
            return Duration::ZERO;
        }
        let batch = *self.batch();
        let so_far = batch.began.map(|began| began.elapsed()).unwrap_or_default();
        batch.last.max(so_far).saturating_mul(u32::try_from(full).unwrap_or(u32::MAX))
    }
}

pub(super) fn channel(bounds: Bounds) -> (Sender, Receiver) {
    let pace: Arc<Pace> = Arc::default();
    let (jobs, receiver) = mpsc::channel(bounds.jobs.max(1));
    let capacity_bytes = u32::try_from(bounds.bytes).unwrap_or(u32::MAX);
    let bytes = Arc::new(Semaphore::new(capacity_bytes as usize));
    let receiver = Receiver { jobs: receiver, pace: Arc::clone(&pace) };
    (Sender { jobs, bytes, capacity_bytes, bounds, pace }, receiver)
}

/// When to try again where the queue is full of jobs or bytes, and the soonest and latest in any case.
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRY_AT_LATEST: Duration = Duration::from_secs(5);

impl Sender {
    /// Queues the work and waits for its answer. Dropping this future does not take the work back.
    pub(super) async fn submit(
        &self,
        asked: Asked,
        deadline: Option<Instant>,
    ) -> Result<Answers, EngineError> {
        let overloaded = || EngineError::Overloaded { retry_after: RETRY_AFTER };
        let wait = self.pace.wait(self.bounds.batch_items);
        if wait > self.bounds.wait {
            return Err(EngineError::Overloaded { retry_after: wait.clamp(RETRY_AFTER, RETRY_AT_LATEST) });
        }
        let weight = u32::try_from(asked.weight_bytes()).unwrap_or(u32::MAX).min(self.capacity_bytes);
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(weight).map_err(|_| overloaded())?;
        let (reply, answer) = oneshot::channel();
        let (queued, span, trace) = (Instant::now(), Span::current(), meter::trace());
        let items = asked.len();
        let job = Job { asked, deadline, queued, span, trace, reply, _bytes: permit };
        // Before it is sent: the lane may take it at once.
        self.pace.items.fetch_add(items, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|refused| {
            self.pace.items.fetch_sub(items, Ordering::Relaxed);
            match refused {
                mpsc::error::TrySendError::Full(_) => overloaded(),
                mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
            }
        })?;
        // A lane answers everything it takes; a reply dropped unanswered means that the lane itself died.
        answer.await.unwrap_or(Err(EngineError::Internal))
    }

    /// The queue as it is now.
    pub(super) fn look(&self) -> meter::Queue {
        let limit = self.jobs.max_capacity();
        let commands = limit.saturating_sub(self.jobs.capacity());
        let free_bytes = u64::try_from(self.bytes.available_permits()).unwrap_or(u64::MAX);
        let taken = self.pace.batch().first;
        meter::Queue {
            commands: u64::try_from(commands).unwrap_or(u64::MAX),
            command_limit: u64::try_from(limit).unwrap_or(u64::MAX),
            bytes: u64::from(self.capacity_bytes).saturating_sub(free_bytes),
            byte_limit: self.capacity_bytes.into(),
            age: taken.filter(|_| commands > 0).map(|first| first.elapsed()).unwrap_or_default(),
        }
    }
}

impl Receiver {
    /// The next job; `None` once the queue is closed and empty.
    pub(super) async fn recv(&mut self) -> Option<Job> {
        self.jobs.recv().await.inspect(|job| self.took(job))
    }

    /// The next job, if one waits.
    pub(super) fn try_recv(&mut self) -> Option<Job> {
        self.jobs.try_recv().ok().inspect(|job| self.took(job))
    }

    fn took(&self, job: &Job) {
        self.pace.items.fetch_sub(job.asked.len(), Ordering::Relaxed);
    }

    /// Takes no more jobs; those that wait are still received.
    pub(super) fn close(&mut self) {
        self.jobs.close();
    }

    /// Whether it takes no more jobs.
    pub(super) fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }

    /// A batch is at work whose first job was queued then.
    pub(super) fn at_work_since(&self, first: Instant) {
        let mut batch = self.pace.batch();
        (batch.first, batch.began) = (Some(first), Some(Instant::now()));
    }

    /// That batch is over.
    pub(super) fn done(&self) {
        let mut batch = self.pace.batch();
        if let Some(began) = batch.began.take() {
            batch.last = began.elapsed();
        }
    }
}
