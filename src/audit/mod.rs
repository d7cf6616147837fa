//! The audit: what fal billed (layer 1), what the tasks say (layer 2) and what the users paid (layer 3), compared.
//!
//! Nothing in this room knows a database, a clock or a wire format, and it enters no other room: rows are handed in,
//! findings, costs and a [`Report`] come out. The same rows give the same findings. `reconcile` fetches fal's
//! events and reads the rows for it.
//!
//! The phases of one audit:
//!
//! | phase | where | what |
//! |---|---|---|
//! | accounts | [`Audit::new`] | accounts are grouped by workspace; each workspace is counted once |
//! | match | [`Audit::task`], [`Audit::event`] | two sorted streams are merged: an event belongs to the task that has its request id |
//! | judge | [`rules`] | each task as it settles, each stray request as it passes |
//! | users | [`Audit::user_tasks`], [`Audit::user_day`] | the ledger's sums against the tasks', and day against day |
//! | finish | [`Audit::finish`] | the rules on models, workspaces and users; the report |
//!
//! Findings and costs leave through a [`Sink`] as they arise, so that what is kept grows with the number of users,
//! models, workspaces and days, and with the tasks of several attempts that are still open, never with all tasks.
//! A million tasks against a million events take some 80 MiB with 100,000 users and one task in ten tried twice, 360
//! with a user for every task, 450 with every task tried twice (`tests/audit/scale.rs`).
//!
//! What a task's row says of its **billed** cost is read for one purpose: to plan no cost that is there already. Every
//! rule judges by the events themselves, so applying costs changes no finding.
//!
//! Sums that rules judge are `i128`, where as many rows as there could ever be of the largest `i64` fit, and shares are
//! multiplied out: nothing is rounded before it is judged, and no float is near.

#![deny(clippy::arithmetic_side_effects)]

mod catalogue;
mod cost;
mod disorder;
mod evidence;
mod finding;
mod fold;
mod matching;
mod pool;
mod rates;
pub mod report;
pub mod rows;
pub mod rules;
mod scope;
mod sink;
mod tally;
mod thresholds;
mod time;
mod users;
mod words;

pub use catalogue::Language;
pub use cost::CostChange;
pub use disorder::Disorder;
pub use evidence::{Evidence, Figure};
pub use finding::{Finding, Rule, Severity};
pub use fold::{Audit, Progress};
pub use matching::Need;
pub use pool::AccountsError;
pub use rates::{Rate, Rates};
pub use report::Report;
pub use rows::{
    Account, Attempt, Disagreement, Event, Fetch, Task, TaskStatus, Usage, UsageRow, UserDay, UserTasks,
};
pub use scope::{Scope, ScopeError};
pub use sink::{Collected, Sink};
pub use thresholds::Thresholds;
pub use time::{Calendar, Day, Micros};

/// A user of the product that resells inference; ≥ 1.
pub type UserId = i64;

/// Shared immutable text: ids and names go into tallies and findings without new allocations.
pub type Text = std::sync::Arc<str>;
