//! Answers: what a caller hears of what was decided for it, once its batch is durable.
//!
//! Most are ready as they are. A replay is answered with the entries the original wrote and the lease it gave, which
//! are read first: all of a batch's replays share the reads, beside the lane, so that the next batch need not wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::EngineError;
use super::error::logged;
use super::judge::Decided;
use super::queue::Job;
use super::secrets::GrantedKey;
use crate::keypool;
use crate::ledger::decide::{Done, Outcome};
use crate::ledger::{Entry, EntryRange, Micros, Rejection, Task, Text, User, UserId};
use crate::meter::traced;
use crate::store::{LeaseRecord, Reader};
use crate::vault::Keyring;

/// The answer to a command that was done, now or before.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The task as it is now, for commands that name one.
    pub task: Option<Arc<Task>>,
    /// The entries the command wrote; of a replay, those the original wrote.
    pub entries: Vec<Arc<Entry>>,
    /// The user's figures as they are now.
    pub user: User,
    /// The lease it gave, as it is now, for commands that ask for one.
    pub lease: Option<GrantedKey>,
    /// It had been done before.
    pub replayed: bool,
    /// It came too late to change its task.
    pub late: bool,
}

/// The answer to a command of the key pool.
#[derive(Clone, Debug)]
pub struct KeyAnswer {
    /// What came of it.
    pub done: keypool::Done,
    /// The lease it names, without its key.
    pub lease: Option<GrantedKey>,
}

/// What each item of one caller's work came to.
#[derive(Debug)]
pub(super) enum Answers {
    Ledger(Vec<Result<Answer, Rejection>>),
    Keys(Box<Result<KeyAnswer, Rejection>>),
}

/// What is told beside the outcomes themselves.
#[derive(Default)]
struct Told {
    /// The batch's moment.
    now: Micros,
    /// Entries read back, by user and number.
    entries: BTreeMap<(UserId, i64), Arc<Entry>>,
    /// Leases of the batch, or read back.
    leases: BTreeMap<Text, LeaseRecord>,
}

/// Tells callers what was decided.
pub(super) struct Answering {
    reader: Arc<dyn Reader>,
    keyring: Arc<Keyring>,
    tasks: TaskTracker,
}

/// What a batch came to for its callers.
pub(super) struct Settled {
    pub(super) now: Micros,
    pub(super) leases: BTreeMap<Text, LeaseRecord>,
    pub(super) jobs: Vec<(Job, Decided)>,
}

impl Answering {
    pub(super) fn new(reader: Arc<dyn Reader>, keyring: Arc<Keyring>, tasks: TaskTracker) -> Self {
        Self { reader, keyring, tasks }
    }

    /// Answers every job with its outcomes. A job that is a replay keeps its place in the queue's bounds until it is
    /// answered.
    pub(super) fn answer(&self, settled: Settled) {
        let Settled { now, leases, jobs } = settled;
        let told = Told { now, leases, ..Told::default() };
        let mut replays = Vec::new();
        for (job, decided) in jobs {
            if is_ready(&decided, &told.leases) {
                let runner_id = job.runner_id();
                let answers = answers(decided, &told, runner_id.as_ref(), &self.keyring);
                job.answer(Ok(answers));
            } else {
                replays.push((job, decided));
            }
        }
        if !replays.is_empty() {
            let (reader, keyring) = (Arc::clone(&self.reader), Arc::clone(&self.keyring));
            let trace = replays[0].0.trace;
            self.tasks.spawn(traced(trace, answer_replays(reader, keyring, told, replays)));
        }
    }
}

/// Whether nothing must be read to answer.
fn is_ready(decided: &Decided, leases: &BTreeMap<Text, LeaseRecord>) -> bool {
    done(decided).all(|done| {
        done.earlier_entries.is_none() && done.lease_id.as_ref().is_none_or(|id| leases.contains_key(id))
    })
}

fn done(decided: &Decided) -> impl Iterator<Item = &Done> {
    let outcomes: &[Outcome] = match decided {
        Decided::Ledger(outcomes) => outcomes,
        Decided::Keys(_) => &[],
    };
    outcomes.iter().flatten()
}

async fn answer_replays(
    reader: Arc<dyn Reader>,
    keyring: Arc<Keyring>,
    mut told: Told,
    replays: Vec<(Job, Decided)>,
) {
    match read_earlier(&*reader, &mut told, &replays).await {
        Ok(()) => {
            for (job, decided) in replays {
                let runner_id = job.runner_id();
                let answers = answers(decided, &told, runner_id.as_ref(), &keyring);
                job.answer(Ok(answers));
            }
        }
        // The batch is committed: that its answers cannot be told does not mean that nothing was done.
        Err(_) => replays.into_iter().for_each(|(job, _)| job.answer(Err(EngineError::OutcomeUnknown))),
    }
}

/// The ledger is append-only: read after the commit, the entries are what they were. Leases are as they are now.
async fn read_earlier(
    reader: &dyn Reader,
    told: &mut Told,
    replays: &[(Job, Decided)],
) -> Result<(), EngineError> {
    let all = || replays.iter().flat_map(|(_, decided)| done(decided));
    let mut ranges: Vec<(UserId, EntryRange)> = all().filter_map(earlier_range).collect();
    ranges.sort_unstable_by_key(|(user_id, range)| (*user_id, range.first_seq));
    ranges.dedup();
    if !ranges.is_empty() {
        let entries = reader.entries(&ranges).await.map_err(|error| logged(&error))?;
        told.entries =
            entries.into_iter().map(|entry| ((entry.user_id, entry.user_seq), Arc::new(entry))).collect();
    }
    let unknown = |id: &&Text| !told.leases.contains_key(*id);
    let mut lease_ids: Vec<Text> =
        all().filter_map(|done| done.lease_id.as_ref()).filter(unknown).cloned().collect();
    lease_ids.sort_unstable();
    lease_ids.dedup();
    if !lease_ids.is_empty() {
        let leases = reader.leases(&lease_ids).await.map_err(|error| logged(&error))?;
        told.leases.extend(leases.into_iter().map(|row| (Arc::clone(&row.lease.lease_id), row)));
    }
    Ok(())
}

fn answers(decided: Decided, told: &Told, runner_id: Option<&Text>, keyring: &Keyring) -> Answers {
    match decided {
        Decided::Ledger(outcomes) => {
            let tell = |outcome: Outcome| outcome.map(|done| answer(done, told, (runner_id, keyring)));
            Answers::Ledger(outcomes.into_iter().map(tell).collect())
        }
        Decided::Keys(outcome) => Answers::Keys(Box::new(outcome.map(|done| key_answer(done, told)))),
    }
}

fn answer(done: Done, told: &Told, (runner_id, keyring): (Option<&Text>, &Keyring)) -> Answer {
    let range = earlier_range(&done);
    let Done { task, mut entries, user, replayed, late, lease_id, .. } = done;
    if let Some((user_id, range)) = range {
        let end = range.first_seq.saturating_add(range.count.into());
        let written = told.entries.range((user_id, range.first_seq)..(user_id, end));
        entries.extend(written.map(|(_, entry)| Arc::clone(entry)));
    }
    // A task that another runner took over meanwhile has that one's lease: not to be shown to this one.
    let is_its = |record: &&LeaseRecord| Some(&record.lease.runner_id) == runner_id;
    let record = lease_id.and_then(|id| told.leases.get(&id)).filter(is_its).cloned();
    let lease = record.map(|record| GrantedKey::granted(record, keyring, told.now));
    Answer { task, entries, user, lease, replayed, late }
}

fn key_answer(done: keypool::Done, told: &Told) -> KeyAnswer {
    let lease_id = match &done {
        keypool::Done::Renewed(lease) => Some(&lease.lease_id),
        keypool::Done::Released(released) => Some(&released.lease.lease_id),
        keypool::Done::Expired(_) | keypool::Done::Account(_) | keypool::Done::Nothing => None,
    };
    let record = lease_id.and_then(|id| told.leases.get(id)).cloned();
    let lease = record.map(|record| GrantedKey::told(record, told.now));
    KeyAnswer { done, lease }
}

fn earlier_range(done: &Done) -> Option<(UserId, EntryRange)> {
    done.earlier_entries.map(|range| (done.user.user_id, range))
}
