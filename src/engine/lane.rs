//! A lane: takes what waits as one batch, has it decided and committed, answers, and takes the next.
//!
//! What follows each run of a batch is in [`super::pursuit`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::answer::Answering;
use super::error::logged;
use super::pursuit::{Next, Outcomes, Pursuit};
use super::queue::{Job, Receiver};
use super::{EngineError, Options};
use crate::clock::Ids;
use crate::ledger;
use crate::ledger::command::UNRESOLVED;
use crate::ledger::{Micros, Rejection, Text, Work, decide};
use crate::store::{Footprint, Plan, Reader, Run, Snapshot, Transacted, Writer};

/// How often old batch ids are forgotten, and how many at once.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_ROWS: u32 = 5_000;

pub(super) struct Lane {
    writer: Box<dyn Writer>,
    reader: Arc<dyn Reader>,
    ids: Arc<dyn Ids>,
    options: Arc<Options>,
    answering: Answering,
    next_prune: Instant,
}

/// How a batch of work ended for all of it.
enum Ended {
    Done(Outcomes),
    Failed(EngineError),
    /// One of the works cannot be decided or stored; which one, only running them alone tells.
    Poisoned,
}

impl Lane {
    pub(super) fn new(
        writer: Box<dyn Writer>,
        reader: Arc<dyn Reader>,
        ids: Arc<dyn Ids>,
        options: Arc<Options>,
        answering: Answering,
    ) -> Self {
        Self { writer, reader, ids, options, answering, next_prune: Instant::now() + PRUNE_EVERY }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self, mut queue: Receiver, closing: CancellationToken) {
        let mut left_over = None;
        loop {
            let first = match left_over.take() {
                Some(job) => job,
                None => tokio::select! {
                    biased;
                    () = closing.cancelled(), if !queue.is_closed() => {
                        queue.close();
                        continue;
                    }
                    job = queue.recv() => match job {
                        Some(job) => job,
                        None => return,
                    },
                },
            };
            let batch;
            (batch, left_over) = gather(first, &mut queue, self.options.batch_items);
            self.serve(batch).await;
            self.prune_if_due().await;
        }
    }

    async fn serve(&mut self, jobs: Vec<Job>) {
        let jobs = drop_expired(jobs);
        let jobs = self.resolve_users(jobs).await;
        if jobs.is_empty() {
            return;
        }
        match self.transact(&jobs).await {
            Ended::Done(outcomes) => self.answer(jobs, outcomes),
            Ended::Failed(error) => jobs.into_iter().for_each(|job| job.answer(Err(error.clone()))),
            Ended::Poisoned => self.serve_one_by_one(jobs).await,
        }
    }

    fn answer(&self, jobs: Vec<Job>, outcomes: Outcomes) {
        debug_assert_eq!(jobs.len(), outcomes.len(), "each work has its outcomes");
        self.answering.answer(jobs.into_iter().zip(outcomes));
    }

    async fn serve_one_by_one(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            let alone = [job];
            let ended = self.transact(&alone).await;
            let [job] = alone;
            match ended {
                Ended::Done(outcomes) => self.answer(vec![job], outcomes),
                Ended::Failed(error) => job.answer(Err(error)),
                Ended::Poisoned => job.answer(Err(EngineError::Internal)),
            }
        }
    }

    /// Looks up the users of task-keyed commands that named none, in one read for the whole batch.
    async fn resolve_users(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let mut unresolved: Vec<Text> =
            jobs.iter().filter_map(|job| unresolved_task(&job.work)).cloned().collect();
        if unresolved.is_empty() {
            return jobs;
        }
        unresolved.sort_unstable();
        unresolved.dedup();
        let mut owners = self.reader.task_owners(&unresolved).await.map_err(|error| logged(&error));
        if let Ok(owners) = &mut owners {
            owners.sort_unstable();
        }
        jobs.into_iter()
            .filter_map(|mut job| {
                let Some(task_id) = unresolved_task(&job.work).cloned() else { return Some(job) };
                let owners = match &owners {
                    Ok(owners) => owners,
                    Err(error) => {
                        job.answer(Err(error.clone()));
                        return None;
                    }
                };
                match owners.binary_search_by(|(owned, _)| owned.cmp(&task_id)) {
                    Ok(found) => {
                        if let Work::One(submission) = &mut job.work {
                            submission.command.resolve(owners[found].1);
                        }
                        Some(job)
                    }
                    Err(_) => {
                        job.answer(Ok(vec![Err(Rejection::TaskNotFound(task_id))]));
                        None
                    }
                }
            })
            .collect()
    }

    /// Runs the batch until it is known how it ended, within the bounds of the options.
    async fn transact(&mut self, jobs: &[Job]) -> Ended {
        let footprint = Footprint::from(ledger::Footprint::of(jobs.iter().map(|job| &job.work)));
        let mut pursuit = Pursuit::default();
        let mut batch_id = self.ids.batch_id();
        loop {
            let Some((ended, decided)) = self.run_once(jobs, &footprint, batch_id, pursuit.run()).await
            else {
                tracing::error!("deciding a batch panicked: its commands are run one by one");
                return Ended::Poisoned;
            };
            match pursuit.after(ended, decided, &self.options) {
                Next::Done(outcomes) => return Ended::Done(outcomes),
                Next::Failed(error) => return Ended::Failed(error),
                Next::Poisoned => return Ended::Poisoned,
                Next::Again(pause) => tokio::time::sleep(pause).await,
            }
            if pursuit.run() == Run::First {
                batch_id = self.ids.batch_id();
            }
        }
    }

    /// One run, and what it decided if it came that far; `None` if deciding panicked, and then nothing was written.
    async fn run_once(
        &mut self,
        jobs: &[Job],
        footprint: &Footprint,
        batch_id: Uuid,
        run: Run,
    ) -> Option<(Transacted, Option<Outcomes>)> {
        let mut decided = None;
        let mut panicked = false;
        let mut judge = |snapshot: Snapshot| match catch_unwind(AssertUnwindSafe(|| {
            decide(snapshot.ledger, jobs.iter().map(|job| &job.work))
        })) {
            Ok(decision) => {
                decided = Some(decision.outcomes);
                decision.plan.into()
            }
            Err(_) => {
                panicked = true;
                Plan::default()
            }
        };
        let ended = self.writer.transact(batch_id, run, footprint, &mut judge).await;
        (!panicked).then_some((ended, decided))
    }

    async fn prune_if_due(&mut self) {
        if Instant::now() < self.next_prune {
            return;
        }
        self.next_prune = Instant::now() + PRUNE_EVERY;
        let kept = i64::try_from(self.options.commit_ids_kept.as_micros()).unwrap_or(i64::MAX);
        let pruned = match self.reader.now().await {
            Ok(Micros(now)) => self.writer.prune_commits(Micros(now.saturating_sub(kept)), PRUNE_ROWS).await,
            Err(error) => Err(error),
        };
        if let Err(error) = pruned {
            tracing::warn!(%error, "old batch ids could not be forgotten; they will be at a later try");
        }
    }
}

/// Takes what waits, up to `max_items`; work that would go over it opens the next batch.
fn gather(first: Job, queue: &mut Receiver, max_items: usize) -> (Vec<Job>, Option<Job>) {
    let mut items = first.work.len();
    let mut batch = vec![first];
    while items < max_items {
        let Ok(job) = queue.try_recv() else { break };
        items += job.work.len();
        if items > max_items {
            return (batch, Some(job));
        }
        batch.push(job);
    }
    (batch, None)
}

fn drop_expired(jobs: Vec<Job>) -> Vec<Job> {
    let now = Instant::now();
    jobs.into_iter()
        .filter_map(|job| match job.deadline {
            _ if job.is_abandoned() => None,
            Some(deadline) if deadline <= now => {
                job.answer(Err(EngineError::DeadlineExceeded));
                None
            }
            _ => Some(job),
        })
        .collect()
}

fn unresolved_task(work: &Work) -> Option<&Text> {
    match work {
        Work::One(submission) if submission.command.user_id() == UNRESOLVED => submission.command.task_id(),
        Work::One(_) | Work::Batch(_) => None,
    }
}
