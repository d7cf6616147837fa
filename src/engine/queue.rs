//! The queue before a lane: bounded in items and in bytes, and never waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tracing::Span;

use super::EngineError;
use super::answer::Answers;
use super::work::Asked;
use crate::ledger::Text;
use crate::meter;

/// One caller's work, and where its answer goes.
pub(super) struct Job {
    pub(super) asked: Asked,
    pub(super) deadline: Option<Instant>,
    /// When it was queued.
    pub(super) queued: Instant,
    /// What asked for it, for traces.
    pub(super) span: Span,
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

/// The callers' end.
#[derive(Clone)]
pub(super) struct Sender {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<Semaphore>,
    capacity_bytes: u32,
    taken: Arc<Mutex<Option<Instant>>>,
}

/// The lane's end.
pub(super) struct Receiver {
    jobs: mpsc::Receiver<Job>,
    /// When the first job of the batch that is at work was queued: whatever waits was queued later.
    taken: Arc<Mutex<Option<Instant>>>,
}

pub(super) fn channel(items: usize, bytes: usize) -> (Sender, Receiver) {
    let taken: Arc<Mutex<Option<Instant>>> = Arc::default();
    let (jobs, receiver) = mpsc::channel(items.max(1));
    let capacity_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let bytes = Arc::new(Semaphore::new(capacity_bytes as usize));
    let receiver = Receiver { jobs: receiver, taken: Arc::clone(&taken) };
    (Sender { jobs, bytes, capacity_bytes, taken }, receiver)
}

impl Sender {
    /// Queues the work and waits for its answer. Dropping this future does not take the work back.
    pub(super) async fn submit(
        &self,
        asked: Asked,
        deadline: Option<Instant>,
    ) -> Result<Answers, EngineError> {
        let overloaded = || EngineError::Overloaded { retry_after: Duration::from_millis(100) };
        let weight = u32::try_from(asked.weight_bytes()).unwrap_or(u32::MAX).min(self.capacity_bytes);
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(weight).map_err(|_| overloaded())?;
        let (reply, answer) = oneshot::channel();
        let (queued, span) = (Instant::now(), Span::current());
        let job = Job { asked, deadline, queued, span, reply, _bytes: permit };
        self.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
        })?;
        // A lane answers everything it takes; a reply dropped unanswered means that the lane itself died.
        answer.await.unwrap_or(Err(EngineError::Internal))
    }

    /// The queue as it is now.
    pub(super) fn look(&self) -> meter::Queue {
        let limit = self.jobs.max_capacity();
        let commands = limit.saturating_sub(self.jobs.capacity());
        let free_bytes = u64::try_from(self.bytes.available_permits()).unwrap_or(u64::MAX);
        let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.jobs.recv().await
    }

    /// The next job, if one waits.
    pub(super) fn try_recv(&mut self) -> Option<Job> {
        self.jobs.try_recv().ok()
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
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
    }
}
