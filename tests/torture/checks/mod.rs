//! The checkers: what callers were told against what the tables hold. Independent of the product's own `verify`; each
//! takes n log n, and each has been seen to fail (`tests/torture_checkers.rs`).
//!
//! | rule | where |
//! |---|---|
//! | chains without a gap, purses the sum of their rows, Σ refunds ≤ charge, tasks as their entries say | [`ledger`] |
//! | what was acknowledged is stored with the same content, and nothing is stored that nobody was told of | [`told`] |
//! | one row a key; a repeat says what the original said; other content is refused; what was refused is absent | [`keys`], [`tasks`] |
//! | a hold resolves once; a task ends as it was told | [`tasks`] |
//! | what was acknowledged before another call began comes before it; no balance is older than that | [`order`] |
//! | leases never exceed the limit, fences rise | [`leases`] |
//! | no stop of more than 30 s, no panic and no secret in a log, all evidence once | [`run`] |

pub(crate) mod delivery;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod ledger;
pub(crate) mod order;
pub(crate) mod run;
pub(crate) mod tasks;
pub(crate) mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;

use crate::books::Books;
use crate::history::Op;
use delivery::deliveries;

/// As many of each rule are told in full.
const TOLD: usize = 20;

/// What was found, by rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    found: BTreeMap<&'static str, (usize, Vec<String>)>,
    /// The checkers' lines that found something.
    places: BTreeSet<(&'static str, u32)>,
}

impl Findings {
    #[track_caller]
    pub(crate) fn add(&mut self, rule: &'static str, what: impl FnOnce() -> String) {
        let place = Location::caller();
        self.places.insert((place.file(), place.line()));
        let (count, told) = self.found.entry(rule).or_default();
        *count += 1;
        if told.len() < TOLD {
            told.push(what());
        }
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.places.iter().copied()
    }

    pub(crate) fn count(&self) -> usize {
        self.found.values().map(|(count, _)| count).sum()
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = (&'static str, usize, &[String])> {
        self.found.iter().map(|(rule, (count, told))| (*rule, *count, told.as_slice()))
    }
}

/// What the history and the tables say together. `is_resolved`: nothing is unknown any more, so that what nobody was
/// told of must not be there.
pub(crate) fn check(history: &[Op], books: &Books, is_resolved: bool, found: &mut Findings) {
    let owners = books.tasks.iter().map(|task| (task.task.as_str(), task.user)).collect();
    let deliveries = deliveries(history, &owners);
    ledger::check(books, found);
    told::check(&deliveries, books, is_resolved, found);
    keys::check(&deliveries, books, is_resolved, found);
    tasks::check(&deliveries, books, is_resolved, found);
    order::check(&deliveries, books, found);
    leases::check_told(&deliveries, books, found);
    leases::check_fences(books, found);
}
