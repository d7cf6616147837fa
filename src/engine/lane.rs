//! A lane: takes what waits as one batch, has it decided and committed, answers, and takes the next.
//!
//! What follows each run of a batch is in [`super::pursuit`]. A command that found no key among the accounts that were
//! proposed to it, while the view knows others, goes round again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::answer::{Answering, Settled};
use super::error::logged;
use super::judge::{Bench, Decided, Judgement, judge};
use super::proposals::{Proposals, seed_of};
use super::pursuit::{Next, Pursuit};
use super::queue::{Job, Receiver};
use super::resolve;
use super::told;
use super::waiting::{Queue, WaitingRoom};
use super::work::{footprint, model_of};
use super::{EngineError, Options};
use crate::clock::Ids;
use crate::ledger::{Micros, Rejection, Why};
use crate::meter::{self, BatchEnded, traced};
use crate::mutants::{self, Mutant};
use crate::store::{Footprint, Plan, Reader, Run, Snapshot, StoreError, Transacted, Writer};

/// How often old batch ids are forgotten, and how many at once.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const PRUNE_ROWS: u32 = 5_000;
/// How often commands that found no key are decided on other accounts.
const ROUNDS: u32 = 3;
/// How often a batch is decided again because it needs rows that were not locked.
const WIDENINGS: u32 = 8;

pub(super) struct Lane {
    pub(super) writer: Box<dyn Writer>,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) options: Arc<Options>,
    pub(super) answering: Answering,
    pub(super) proposals: Arc<Proposals>,
    pub(super) waiting: WaitingRoom,
    pub(super) next_prune: Instant,
}

/// How a batch of work ended for all of it.
enum Ended {
    Done(Box<Judgement>),
    Failed(EngineError),
    /// One of the works cannot be decided or stored; which one, only running them alone tells.
    Poisoned,
}

/// How one run ended, and what it decided if it came that far.
enum Ran {
    Ended(Transacted, Option<Box<Judgement>>),
    /// Nothing was written: rows were missing, which are among the footprint now.
    Widened,
    /// Deciding panicked: nothing was written.
    Panicked,
}

impl Lane {
    /// When a lane that starts now first forgets old batch ids.
    pub(super) fn first_prune() -> Instant {
        Instant::now() + PRUNE_EVERY
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
            queue.at_work_since(batch[0].queued);
            let (span, trace) = (told::span(&batch), batch[0].trace);
            traced(trace, self.serve(batch).instrument(span)).await;
            queue.done();
            self.prune_if_due().await;
        }
    }

    async fn serve(&mut self, jobs: Vec<Job>) {
        if self.options.meters.is_on() {
            jobs.iter().for_each(|job| self.meter().waited(job.queued.elapsed()));
        }
        let jobs = drop_expired(jobs);
        let jobs = resolve::users(jobs, &*self.reader).await;
        let jobs = resolve::leases(jobs, &*self.reader, &self.options.limits).await;
        let mut jobs = self.freshen(jobs).await;
        self.mark_who_waits(&mut jobs);
        for round in 1..=ROUNDS {
            if jobs.is_empty() {
                return;
            }
            match self.transact(&jobs).await {
                Ended::Done(judgement) => jobs = self.settle(jobs, *judgement, round == ROUNDS),
                Ended::Failed(error) => {
                    return jobs.into_iter().for_each(|job| job.answer(Err(error.clone())));
                }
                Ended::Poisoned => return self.serve_one_by_one(jobs).await,
            }
        }
    }

    /// Answers what is settled; what found no key among a few accounts, while there are others, is to be decided again.
    fn settle(&self, jobs: Vec<Job>, judgement: Judgement, is_last: bool) -> Vec<Job> {
        debug_assert_eq!(jobs.len(), judgement.decided.len(), "each work has its outcomes");
        if self.options.meters.is_on() {
            self.meter().moved(&told::moved(&judgement.decided));
        }
        let is_another_try = {
            let mut cached = self.proposals.cached();
            cached.observe(&judgement);
            if jobs.iter().any(|job| job.asked.changes_accounts()) {
                cached.outdate();
            }
            let try_others = |(job, decided): (&Job, &Decided)| {
                !is_last
                    && is_short_of_keys(decided)
                    && job.asked.selecting().is_some_and(|command| {
                        !command.selection().is_some_and(|selection| selection.is_behind_others)
                            && cached.has_others(command)
                    })
            };
            jobs.iter().zip(&judgement.decided).map(try_others).collect::<Vec<bool>>()
        };
        if judgement.frees {
            self.waiting.wake();
        }
        let Judgement { now, decided, leases, .. } = judgement;
        #[cfg(feature = "mutants")]
        let decided = swapped(decided);
        let mut again = Vec::new();
        let mut settled = Vec::with_capacity(jobs.len());
        for ((job, decided), try_others) in jobs.into_iter().zip(decided).zip(is_another_try) {
            if try_others { again.push(job) } else { settled.push((job, decided)) }
        }
        self.answering.answer(Settled { now, leases, jobs: settled });
        again
    }

    async fn serve_one_by_one(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            let alone = [job];
            let ended = traced(alone[0].trace, self.transact(&alone)).await;
            let [job] = alone;
            match ended {
                Ended::Done(judgement) => {
                    self.settle(vec![job], *judgement, true);
                }
                Ended::Failed(error) => job.answer(Err(error)),
                Ended::Poisoned => job.answer(Err(EngineError::Internal)),
            }
        }
    }

    /// Marks the selections before which others wait for a key of the same model.
    fn mark_who_waits(&self, jobs: &mut [Job]) {
        for job in jobs {
            let Some(command) = job.asked.selecting_mut() else { continue };
            let is_queued = self.waiting.is_queued(&Queue::Model(model_of(command)));
            if let Some(selection) = command.selection_mut() {
                selection.is_behind_others = is_queued && !selection.has_turn;
            }
        }
    }

    /// Makes the view young enough for a batch that asks for keys; where it cannot be, those who ask are told.
    async fn freshen(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        if !jobs.iter().any(|job| job.asked.selecting().is_some()) {
            return jobs;
        }
        let Err(error) = self.proposals.freshen().await else { return jobs };
        let (asking, others): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.asked.selecting().is_some());
        asking.into_iter().for_each(|job| job.answer(Err(error.clone())));
        others
    }

    /// Runs the batch until it is known how it ended, within the bounds of the options.
    async fn transact(&mut self, jobs: &[Job]) -> Ended {
        let began = Instant::now();
        let ended = self.pursue(jobs).await;
        let how = match &ended {
            Ended::Done(_) => BatchEnded::Done,
            Ended::Failed(_) => BatchEnded::Failed,
            Ended::Poisoned => BatchEnded::Poisoned,
        };
        self.meter().batch(jobs.iter().map(|job| job.asked.len()).sum(), how, began.elapsed());
        ended
    }

    fn meter(&self) -> &meter::Engine {
        self.options.meters.engine()
    }

    async fn pursue(&mut self, jobs: &[Job]) -> Ended {
        let seed = self.ids.random();
        let mut footprint = footprint(jobs.iter().map(|job| &job.asked));
        self.propose(jobs, seed, &mut footprint);
        let mut pursuit = Pursuit::default();
        let mut batch_id = self.ids.batch_id();
        let mut widened = 0;
        loop {
            let (ended, judgement) = match self
                .run_once(jobs, &mut footprint, batch_id, (pursuit.run(), seed))
                .await
            {
                Ran::Ended(ended, judgement) => (ended, judgement),
                Ran::Widened if widened < WIDENINGS => {
                    widened += 1;
                    self.meter().retried("widened");
                    continue;
                }
                Ran::Widened => {
                    let source = "leases moved faster than they could be locked".into();
                    return Ended::Failed(logged(&StoreError::Conflict { what: "deciding a batch", source }));
                }
                Ran::Panicked => {
                    tracing::error!("deciding a batch panicked: its commands are run one by one");
                    return Ended::Poisoned;
                }
            };
            let was = pursuit.run();
            let next = pursuit.after(ended, judgement, &self.options);
            told::run(self.meter(), (was, pursuit.run()), &next);
            match next {
                Next::Done(judgement) => return Ended::Done(judgement),
                Next::Failed(error) => return Ended::Failed(error),
                Next::Poisoned => return Ended::Poisoned,
                Next::Again(pause) => tokio::time::sleep(pause).await,
            }
            if pursuit.run() == Run::First || mutants::on(Mutant::FreshBatchId) {
                batch_id = self.ids.batch_id();
            }
        }
    }

    /// Names the accounts that those who ask for keys may be given.
    fn propose(&self, jobs: &[Job], seed: u64, footprint: &mut Footprint) {
        let asking = jobs.iter().filter_map(|job| job.asked.selecting());
        let mut asking = asking.zip(0_u64..).peekable();
        if asking.peek().is_none() {
            return;
        }
        let mut cached = self.proposals.cached();
        for (command, index) in asking {
            footprint.keys.accounts.extend(cached.propose(command, seed_of(seed, index)));
        }
    }

    /// One run. Where rows are missing, they are added to the footprint.
    async fn run_once(
        &mut self,
        jobs: &[Job],
        footprint: &mut Footprint,
        batch_id: Uuid,
        (run, seed): (Run, u64),
    ) -> Ran {
        let mut judged = None;
        let mut panicked = false;
        let (proposals, options) = (&self.proposals, &self.options);
        let read = footprint.keys.tasks.clone();
        let mut decide = |snapshot: Snapshot| {
            let cached = proposals.cached();
            let bench = Bench {
                view: &cached.view,
                settings: &options.pool,
                keyring: &options.keyring,
                barred: cached.barred(),
                tasks: &read,
                seed,
            };
            let works = jobs.iter().map(|job| &job.asked);
            #[cfg(feature = "mutants")]
            let snapshot = mutants::spoil(snapshot, works.clone().flat_map(super::work::Asked::commands));
            match catch_unwind(AssertUnwindSafe(|| judge(snapshot, works, &bench))) {
                Ok((plan, judgement)) => {
                    judged = Some(Box::new(judgement));
                    plan
                }
                Err(_) => {
                    panicked = true;
                    Plan::default()
                }
            }
        };
        let ended = self.writer.transact(batch_id, run, footprint, &mut decide).await;
        match judged {
            _ if panicked => Ran::Panicked,
            Some(judgement) if !judgement.missing.is_empty() && matches!(ended, Transacted::Committed) => {
                footprint.keys.accounts.extend(&judgement.missing.accounts);
                footprint.keys.tasks.extend(judgement.missing.tasks.iter().cloned());
                Ran::Widened
            }
            judged => Ran::Ended(ended, judged),
        }
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
    let mut items = first.asked.len();
    let mut batch = vec![first];
    while items < max_items {
        let Some(job) = queue.try_recv() else { break };
        items += job.asked.len();
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

/// Whether there was no key for it, though there may be one elsewhere.
fn is_short_of_keys(decided: &Decided) -> bool {
    let Decided::Ledger(outcomes) = decided else { return false };
    matches!(
        &outcomes[..],
        [Err(Rejection::NoKeyAvailable { why: Why::AllBusy | Why::CoolingDown, .. }
            | Rejection::SecretUnavailable { .. })]
    )
}

/// A planted bug: two callers get each other's answers.
#[cfg(feature = "mutants")]
fn swapped(mut decided: Vec<Decided>) -> Vec<Decided> {
    if mutants::on(Mutant::NeighbourSwap) {
        let is_done = |decided: &Decided| matches!(decided, Decided::Ledger(outcomes) if matches!(&outcomes[..], [Ok(_)]));
        mutants::swap_neighbours(&mut decided, is_done);
    }
    decided
}
