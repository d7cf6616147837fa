//! A lease: the right to use one account's key for one task for a while, as a row.

use super::AccountId;
pub use crate::ledger::LeaseOutcome;
use crate::ledger::{Micros, Text, UserId};

/// How a lease stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It holds, and takes a slot.
    Active,
    /// Its runner, or its task's end, gave it back.
    Released,
    /// Its time passed first.
    Expired,
}

/// One row of `scrip_leases`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Names it; unique.
    pub lease_id: Text,
    /// Whose slot it takes.
    pub account_id: AccountId,
    /// The key it was given: stays when the account's key is rotated.
    pub key_id: Text,
    /// Who runs the task; may be empty.
    pub runner_id: Text,
    /// Whose task.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// Rises with each lease of the task, from 1.
    pub fence: i64,
    /// When it was given.
    pub acquire_time: Micros,
    /// When it ends unless renewed or released.
    pub expire_time: Micros,
    /// When its slot came back; `None` while it takes one.
    pub release_time: Option<Micros>,
    /// How it ended; `None` as long as it has not.
    pub outcome: Option<LeaseOutcome>,
    /// Whether its account's return was tried with it.
    pub is_probe: bool,
    /// Whether its task had just met an upstream error, wherever: then a second one speaks of the task.
    pub is_retry: bool,
    /// What the caller expects the job to cost upstream, in nano-USD; 0 if it did not say.
    pub estimated_cost_nano_usd: i64,
}

impl Lease {
    /// Whether it takes a slot: until its row is closed, however late that is.
    pub const fn is_open(&self) -> bool {
        self.release_time.is_none()
    }

    /// Whether its time has passed while nobody closed it.
    pub fn has_lapsed(&self, now: Micros) -> bool {
        self.is_open() && self.expire_time <= now
    }

    /// How it stands.
    pub fn state(&self, now: Micros) -> LeaseState {
        match self.outcome {
            Some(LeaseOutcome::Expired) => LeaseState::Expired,
            _ if self.has_lapsed(now) => LeaseState::Expired,
            _ if self.is_open() => LeaseState::Active,
            _ => LeaseState::Released,
        }
    }
}
