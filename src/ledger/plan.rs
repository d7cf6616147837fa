//! What a batch reads and what it writes, as data between the store and [`super::decide()`].

use std::sync::Arc;

use super::{Entry, Micros, RequestRecord, Task, Text, User, UserId};

/// The rows of a footprint, read under the users' locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The batch's one moment: judges expiry, dates rows.
    pub now: Micros,
    /// The users that exist.
    pub users: Vec<User>,
    /// The tasks that exist, whoever owns them.
    pub tasks: Vec<Task>,
    /// The idempotency records that exist.
    pub requests: Vec<RequestRecord>,
}

/// Whether a row is new or replaces one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not stored before.
    Insert,
    /// Stored before.
    Update,
}

/// A task as it stands at the end of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskWrite {
    /// Whether the row is new.
    pub change: Change,
    /// The row.
    pub task: Arc<Task>,
    /// The caller's JSON; written with a new row alone.
    pub input_params: Text,
    /// The runner's JSON; `None` leaves what is stored.
    pub output_params: Option<Text>,
}

/// One row of `scrip_task_attempts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The task's user.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// 1 for the first.
    pub attempt: i32,
    /// fal's id of it; may be empty.
    pub online_task_id: Text,
    /// The id of the key that ran it; may be empty.
    pub key_id: Text,
    /// The lease it ran under, if it had one.
    pub lease_id: Option<Text>,
    /// When it was reported.
    pub start_time: Micros,
}

/// Everything one batch writes, each row once, as it stands at the end. The store writes it in one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Users whose figures changed.
    pub users: Vec<(Change, User)>,
    /// Tasks that changed.
    pub tasks: Vec<TaskWrite>,
    /// Attempts to add.
    pub attempts: Vec<Attempt>,
    /// Entries to add, in the order they were decided: each user's in the order of `user_seq`.
    pub entries: Vec<Arc<Entry>>,
    /// Idempotency records to add.
    pub requests: Vec<RequestRecord>,
}

impl Plan {
    /// Whether there is nothing to write: only replays and refusals that are not frozen.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.tasks.is_empty()
            && self.attempts.is_empty()
            && self.entries.is_empty()
            && self.requests.is_empty()
    }
}
