//! The queue before a lane: bounded in items and in bytes, and never waited for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::EngineError;
use super::answer::Answers;
use super::work::Asked;
use crate::ledger::Text;

/// One caller's work, and where its answer goes.
pub(super) struct Job {
    pub(super) asked: Asked,
    pub(super) deadline: Option<Instant>,
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
}

pub(super) type Receiver = mpsc::Receiver<Job>;

pub(super) fn channel(items: usize, bytes: usize) -> (Sender, Receiver) {
    let (jobs, receiver) = mpsc::channel(items.max(1));
    let capacity_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let bytes = Arc::new(Semaphore::new(capacity_bytes as usize));
    (Sender { jobs, bytes, capacity_bytes }, receiver)
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
        self.jobs.try_send(Job { asked, deadline, reply, _bytes: permit }).map_err(
            |refused| match refused {
                mpsc::error::TrySendError::Full(_) => overloaded(),
                mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
            },
        )?;
        // A lane answers everything it takes; a reply dropped unanswered means that the lane itself died.
        answer.await.unwrap_or(Err(EngineError::Internal))
    }
}
