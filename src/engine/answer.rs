//! Answers: what a caller hears of what was decided for it, once its batch is durable.
//!
//! Most are ready as they are. A replay is answered with the entries the original wrote, which are read from the
//! ledger first: all of a batch's replays share one read, beside the lane, so that the next batch need not wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::EngineError;
use super::error::logged;
use super::queue::Job;
use crate::ledger::decide::{Done, Outcome};
use crate::ledger::{Entry, EntryRange, Rejection, Task, User, UserId};
use crate::store::Reader;

/// The answer to a command that was done, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The task as it is now, for commands that name one.
    pub task: Option<Arc<Task>>,
    /// The entries the command wrote; of a replay, those the original wrote.
    pub entries: Vec<Arc<Entry>>,
    /// The user's figures as they are now.
    pub user: User,
    /// It had been done before.
    pub replayed: bool,
    /// It came too late to change its task.
    pub late: bool,
}

/// What each item of one caller's work came to.
pub(super) type Answers = Vec<Result<Answer, Rejection>>;

/// Entries read back, by user and number.
type Earlier = BTreeMap<(UserId, i64), Arc<Entry>>;

/// Tells callers what was decided.
pub(super) struct Answering {
    reader: Arc<dyn Reader>,
    tasks: TaskTracker,
}

impl Answering {
    pub(super) fn new(reader: Arc<dyn Reader>, tasks: TaskTracker) -> Self {
        Self { reader, tasks }
    }

    /// Answers every job with its outcomes. A job that is a replay keeps its place in the queue's bounds until it is
    /// answered.
    pub(super) fn answer(&self, jobs: impl IntoIterator<Item = (Job, Vec<Outcome>)>) {
        let mut replays = Vec::new();
        for (job, outcomes) in jobs {
            if outcomes.iter().flatten().any(|done| done.earlier_entries.is_some()) {
                replays.push((job, outcomes));
            } else {
                job.answer(Ok(answers(outcomes, &Earlier::new())));
            }
        }
        if !replays.is_empty() {
            self.tasks.spawn(answer_replays(Arc::clone(&self.reader), replays));
        }
    }
}

async fn answer_replays(reader: Arc<dyn Reader>, replays: Vec<(Job, Vec<Outcome>)>) {
    match read_earlier(&*reader, &replays).await {
        Ok(earlier) => {
            for (job, outcomes) in replays {
                job.answer(Ok(answers(outcomes, &earlier)));
            }
        }
        // The batch is committed: that its answers cannot be told does not mean that nothing was done.
        Err(_) => replays.into_iter().for_each(|(job, _)| job.answer(Err(EngineError::OutcomeUnknown))),
    }
}

/// The ledger is append-only: read after the commit, the entries are what they were.
async fn read_earlier(reader: &dyn Reader, replays: &[(Job, Vec<Outcome>)]) -> Result<Earlier, EngineError> {
    let done = replays.iter().flat_map(|(_, outcomes)| outcomes).flatten();
    let mut ranges: Vec<(UserId, EntryRange)> = done.filter_map(earlier_range).collect();
    ranges.sort_unstable_by_key(|(user_id, range)| (*user_id, range.first_seq));
    ranges.dedup();
    let entries = reader.entries(&ranges).await.map_err(|error| logged(&error))?;
    Ok(entries.into_iter().map(|entry| ((entry.user_id, entry.user_seq), Arc::new(entry))).collect())
}

fn answers(outcomes: Vec<Outcome>, earlier: &Earlier) -> Answers {
    outcomes.into_iter().map(|outcome| outcome.map(|done| answer(done, earlier))).collect()
}

fn answer(done: Done, earlier: &Earlier) -> Answer {
    let range = earlier_range(&done);
    let Done { task, mut entries, user, replayed, late, .. } = done;
    if let Some((user_id, range)) = range {
        let end = range.first_seq.saturating_add(range.count.into());
        entries.extend(
            earlier.range((user_id, range.first_seq)..(user_id, end)).map(|(_, entry)| Arc::clone(entry)),
        );
    }
    Answer { task, entries, user, replayed, late }
}

fn earlier_range(done: &Done) -> Option<(UserId, EntryRange)> {
    done.earlier_entries.map(|range| (done.user.user_id, range))
}
