//! The other accounts, as witnesses: an account is guilty only of what does not happen to most others as well.
//!
//! Two questions are asked, of the other workspaces heard from in a stretch of time:
//!
//! - a refusal aimed at one account (401, 429) takes it out at once, *unless* most others meet the same: then fal is
//!   the fault, and taking out one account after another would only leave none;
//! - an upstream error (5xx, timeout) says nothing alone: a run of them takes an account out only *if* more others
//!   succeed than fail while it lasts. So the last account is never taken out because the world is down.
//!
//! A lock is neither: its text names the account and the reason, and it is believed.

use super::circuit::Cause;
use crate::ledger::{Micros, Text};

/// What is known of one workspace's last reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which.
    pub workspace: Text,
    /// Its newest failure that was its own.
    pub last_failure: Option<(Cause, Micros)>,
    /// Its newest success.
    pub last_success: Option<Micros>,
}

/// All workspaces of the pool, as fresh as a cached view: at most a second old.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peers<'a> {
    /// Each with its last reports.
    pub peers: &'a [Peer],
    /// The median over the workspaces of a successful job's time, in microseconds.
    pub typical_latency_micros: Option<i64>,
}

/// How many of the others do well, and how many fail in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    well: usize,
    ill: usize,
}

impl Peers<'_> {
    /// Whether most others meet the same failure at once.
    pub fn share_the_fault(&self, workspace: &str, cause: Cause, since: Micros) -> bool {
        let tally = self.tally(workspace, cause, since);
        tally.ill > tally.well
    }

    /// Whether most others do well while this one fails.
    pub fn do_better(&self, workspace: &str, cause: Cause, since: Micros) -> bool {
        let tally = self.tally(workspace, cause, since);
        tally.well > tally.ill
    }

    /// The last word of each counts, if it was said in time.
    fn tally(&self, workspace: &str, cause: Cause, since: Micros) -> Tally {
        let mut tally = Tally { well: 0, ill: 0 };
        for peer in self.peers.iter().filter(|peer| &*peer.workspace != workspace) {
            let success = peer.last_success.filter(|time| *time >= since);
            let failure = peer.last_failure.filter(|(_, time)| *time >= since && success < Some(*time));
            match failure {
                Some((met, _)) if met == cause => tally.ill = tally.ill.saturating_add(1),
                Some(_) => {}
                None if success.is_some() => tally.well = tally.well.saturating_add(1),
                None => {}
            }
        }
        tally
    }
}
