//! Which lane a command goes to: right whatever it is, for the locks keep order; fast where lanes seldom meet.
//!
//! - a user's commands go to one lane, so that two lanes do not wait for the row of one user;
//! - what names leases or asks for keys goes to the first, for accounts are few and everybody's;
//! - a large batch of independent items is taken apart, each item to its user's lane; any other batch goes whole, to
//!   the first.

use std::sync::Arc;

use super::queue::Sender;
use crate::ledger::{Rejection, Submission};

/// A batch of fewer items is not worth a commit in each lane.
const WORTH_PARTING: usize = 128;

/// An item of a batch, or why it is none.
pub(super) type Item = Result<Submission, Rejection>;

/// The ways into the lanes, of which there is at least one.
#[derive(Clone)]
pub(super) struct Lanes(Arc<[Sender]>);

/// What of a batch goes to one lane.
pub(super) struct Part {
    pub(super) lane: usize,
    /// Where each item stands in the batch.
    pub(super) places: Vec<usize>,
    pub(super) items: Vec<Item>,
}

impl Lanes {
    pub(super) fn new(lanes: Vec<Sender>) -> Self {
        debug_assert!(!lanes.is_empty(), "an engine has a lane");
        Self(lanes.into())
    }

    /// The lane of what is not one user's.
    pub(super) fn first(&self) -> &Sender {
        &self.0[0]
    }

    /// A single command's lane.
    pub(super) fn of(&self, submission: &Submission) -> &Sender {
        let command = &submission.command;
        if command.selection().is_some() || command.lease_id().is_some() {
            return self.first();
        }
        &self.0[self.number_of(submission)]
    }

    pub(super) fn get(&self, lane: usize) -> &Sender {
        &self.0[lane]
    }

    /// The parts of a batch, where it is worth while. Malformed items go with the first that is well-formed.
    pub(super) fn part(&self, atomic: bool, items: Vec<Item>) -> Vec<Part> {
        let lanes = if atomic || items.len() < WORTH_PARTING { 1 } else { self.0.len() };
        let part = |lane| Part { lane, places: Vec::new(), items: Vec::new() };
        let mut parts: Vec<Part> = (0..lanes).map(part).collect();
        let first = items.iter().find_map(|item| item.as_ref().ok()).map_or(0, |item| self.number_of(item));
        for (place, item) in items.into_iter().enumerate() {
            let lane = item.as_ref().map_or(first, |item| self.number_of(item));
            let part = &mut parts[lane.min(lanes - 1)];
            part.places.push(place);
            part.items.push(item);
        }
        parts.retain(|part| !part.items.is_empty());
        parts
    }

    /// A command whose user is not known yet goes by its task.
    fn number_of(&self, submission: &Submission) -> usize {
        let key = match (submission.command.user_id(), submission.command.task_id()) {
            (0, Some(task_id)) => {
                task_id.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
            }
            (user_id, _) => user_id.unsigned_abs(),
        };
        // The remainder is below the number of lanes.
        usize::try_from(key % self.0.len() as u64).unwrap_or_default()
    }
}
