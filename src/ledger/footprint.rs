//! What a batch touches: the rows the store must lock and read before the batch can be decided.

use std::collections::BTreeSet;

use super::{Text, UserId, Work};

/// Sorted and without repeats, so that every replica takes its locks in one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Users to lock.
    pub users: BTreeSet<UserId>,
    /// Tasks to read; they may not exist yet, or belong to a user who is not locked.
    pub tasks: BTreeSet<Text>,
    /// Idempotency records to read.
    pub requests: BTreeSet<(UserId, Text)>,
}

impl Footprint {
    /// The footprint of a batch of work.
    pub fn of<'a>(work: impl IntoIterator<Item = &'a Work>) -> Self {
        let mut footprint = Self::default();
        for submission in work.into_iter().flat_map(Work::submissions) {
            let user_id = submission.command.user_id();
            footprint.users.insert(user_id);
            footprint.tasks.extend(submission.command.task_id().cloned());
            footprint.requests.extend(submission.request_id.clone().map(|request_id| (user_id, request_id)));
        }
        footprint
    }
}
