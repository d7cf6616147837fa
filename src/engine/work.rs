//! What one caller waits for: work of the ledger, or a command of the key pool.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ledger::command::{NoteAttempt, UNRESOLVED};
use crate::ledger::{Claim, Command, Fingerprint, Method, Submission, Text, Work};
use crate::store::{Footprint, LeaseRecord, TaskOwner};
use crate::{keypool, ledger};

/// A command of the key pool, ready to queue.
#[derive(Clone, Debug)]
pub(super) struct KeyWork {
    pub(super) command: keypool::Command,
    pub(super) request_id: Option<Text>,
    pub(super) actor: Text,
    /// What a repeat under the `request_id` is recognised by.
    content: Option<(Method, Fingerprint)>,
    /// fal's id of the job, of a report that gives one.
    pub(super) online_task_id: Text,
    /// That id as the ledger's command, once the lease's task has been looked up.
    pub(super) attempt: Option<Work>,
}

impl KeyWork {
    pub(super) fn new(command: keypool::Command, request_id: &str, actor: &Text) -> Self {
        let content = command.content();
        Self {
            command,
            request_id: (!request_id.is_empty()).then(|| Text::from(request_id)),
            actor: Arc::clone(actor),
            content,
            online_task_id: Text::default(),
            attempt: None,
        }
    }

    /// The `request_id` and what it is used for, where one was given and counts.
    pub(super) fn claim(&self) -> Option<Claim<'_>> {
        let (request_id, (method, fingerprint)) = (self.request_id.as_ref()?, self.content.as_ref()?);
        Some(Claim { user_id: UNRESOLVED, request_id, method: *method, task_id: None, fingerprint })
    }

    /// The lease whose task must be looked up before the batch.
    fn unresolved_lease(&self) -> Option<&Text> {
        match &self.command {
            keypool::Command::Release { lease_id, .. } if !self.online_task_id.is_empty() => Some(lease_id),
            _ => None,
        }
    }

    /// Makes the ledger's command of the id that was reported.
    pub(super) fn resolve(&mut self, record: &LeaseRecord, limits: &ledger::Limits) {
        let note = NoteAttempt {
            user_id: record.lease.user_id,
            task_id: Arc::clone(&record.lease.task_id),
            online_task_id: Arc::clone(&self.online_task_id),
            key_id: Arc::clone(&record.lease.key_id),
            lease_id: Arc::clone(&record.lease.lease_id),
        };
        // What is stored of a lease kept the limits; the id was checked with the call.
        self.attempt =
            Submission::new(Command::NoteAttempt(note), "", &self.actor, limits).ok().map(Work::One);
    }
}

/// Work of either kind.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Ledger(Work),
    Keys(Box<KeyWork>),
}

impl Asked {
    /// How many outcomes it will have.
    pub(super) fn len(&self) -> usize {
        match self {
            Asked::Ledger(work) => work.len(),
            Asked::Keys(_) => 1,
        }
    }

    /// What is asked of the ledger.
    #[cfg(feature = "mutants")]
    pub(super) fn commands(&self) -> impl Iterator<Item = &Command> {
        let work = if let Asked::Ledger(work) = self { Some(work) } else { None };
        work.into_iter().flat_map(Work::submissions).map(|submission| &submission.command)
    }

    /// Roughly how many bytes it keeps in memory while it queues.
    pub(super) fn weight_bytes(&self) -> usize {
        match self {
            Asked::Ledger(work) => {
                work.submissions().map(|submission| submission.command.weight_bytes()).sum()
            }
            Asked::Keys(work) => match &work.command {
                keypool::Command::Release { report, .. } => report.error_message.len().saturating_add(1024),
                keypool::Command::Reseal(reseals) => reseals.len().saturating_mul(2048),
                _ => 4096,
            },
        }
    }

    /// The task of which something must be looked up before the batch: its user, or the model a key is asked for.
    pub(super) fn unresolved_task(&self) -> Option<&Text> {
        let Asked::Ledger(Work::One(submission)) = self else { return None };
        let has_no_model =
            matches!(&submission.command, Command::SelectKey(select) if select.app_name.is_empty());
        let is_unresolved = has_no_model || submission.command.user_id() == UNRESOLVED;
        submission.command.task_id().filter(|_| is_unresolved)
    }

    /// Takes what was looked up. A user that was given stays: whether it is the task's is for the ledger to judge.
    pub(super) fn resolve(&mut self, owner: &TaskOwner) {
        let Asked::Ledger(Work::One(submission)) = self else { return };
        if submission.command.user_id() == UNRESOLVED {
            submission.command.resolve(owner.user_id);
        }
        if let Command::SelectKey(select) = &mut submission.command
            && select.app_name.is_empty()
        {
            select.app_name = Arc::clone(&owner.app_name);
        }
    }

    /// The lease whose task must be looked up before the batch.
    pub(super) fn unresolved_lease(&self) -> Option<&Text> {
        match self {
            Asked::Keys(work) => work.unresolved_lease(),
            Asked::Ledger(_) => None,
        }
    }

    /// What it asks of the pool, of a single command that selects a key.
    pub(super) fn selecting(&self) -> Option<&Command> {
        match self {
            Asked::Ledger(Work::One(submission)) => {
                submission.command.selection().is_some().then_some(&submission.command)
            }
            Asked::Ledger(Work::Batch(_)) | Asked::Keys(_) => None,
        }
    }

    /// The same, to be marked.
    pub(super) fn selecting_mut(&mut self) -> Option<&mut Command> {
        match self {
            Asked::Ledger(Work::One(submission)) => {
                submission.command.selection().is_some().then_some(&mut submission.command)
            }
            Asked::Ledger(Work::Batch(_)) | Asked::Keys(_) => None,
        }
    }

    /// Whether somebody who waits for a key may find one after it.
    pub(super) fn changes_accounts(&self) -> bool {
        matches!(self, Asked::Keys(work) if !matches!(
            work.command,
            keypool::Command::Renew { .. } | keypool::Command::Release { .. } | keypool::Command::Reseal(_)
        ))
    }
}

/// The model that a selection names: empty where it is left to the task and not looked up yet.
pub(super) fn model_of(command: &Command) -> Text {
    let named = match command {
        Command::Charge(charge) => &charge.app_name,
        Command::Authorize(authorize) => &authorize.charge.app_name,
        Command::SelectKey(select) => &select.app_name,
        _ => return Text::default(),
    };
    Arc::clone(named)
}

/// The rows that a batch touches, but for the accounts it may choose among.
pub(super) fn footprint<'a>(asked: impl Iterator<Item = &'a Asked> + Clone) -> Footprint {
    let works = asked.clone().filter_map(|asked| match asked {
        Asked::Ledger(work) => Some(work),
        Asked::Keys(work) => work.attempt.as_ref(),
    });
    let mut footprint = Footprint::from(ledger::Footprint::of(works.clone()));
    let keys = &mut footprint.keys;
    for submission in works.flat_map(Work::submissions) {
        let command = &submission.command;
        keys.leases.extend(command.lease_id().cloned());
        // Whether the task holds a key already; whether its hold may expire.
        if command.selection().is_some() || matches!(command, Command::ExpireHold(_)) {
            keys.tasks.extend(command.task_id().cloned());
        }
    }
    for asked in asked {
        let Asked::Keys(work) = asked else { continue };
        merge(keys, work.command.footprint());
        let request = work.claim().map(|claim| (claim.user_id, Arc::clone(claim.request_id)));
        footprint.ledger.requests.extend(request);
    }
    footprint
}

fn merge(into: &mut keypool::Footprint, other: keypool::Footprint) {
    fn all<T: Ord>(into: &mut BTreeSet<T>, mut other: BTreeSet<T>) {
        into.append(&mut other);
    }
    let keypool::Footprint { accounts, leases, tasks, workspaces, key_ids, new_accounts } = other;
    all(&mut into.accounts, accounts);
    all(&mut into.leases, leases);
    all(&mut into.tasks, tasks);
    all(&mut into.workspaces, workspaces);
    all(&mut into.key_ids, key_ids);
    into.new_accounts = into.new_accounts.saturating_add(new_accounts);
}
