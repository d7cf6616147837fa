//! The audit: what fal billed (layer 1), what the tasks say (layer 2) and what the users paid (layer 3), compared.
//!
//! Nothing in this room knows a database, a clock or a wire format, and it enters no other room: rows are handed in,
//! findings come out. The same rows give the same findings. **It is not wired to the service
//! yet**: nothing fetches fal's events or reads the rows for it.
//!
//! What a task's row says of its **billed** cost is read for one purpose: to plan no cost that is there already. Every
//! rule judges by the events themselves, so applying costs changes no finding.
//!
//! Sums are `i128`: as many rows as there could ever be, of the largest `i64`, fit.

#![deny(clippy::arithmetic_side_effects)]

mod catalogue;
mod evidence;
mod finding;
mod rates;
pub mod rows;
pub mod rules;
mod scope;
mod thresholds;
mod time;
mod words;

pub use catalogue::Language;
pub use evidence::{Evidence, Figure};
pub use finding::{Finding, Rule, Severity};
pub use rates::{Rate, Rates};
pub use rows::{
    Account, Attempt, Disagreement, Event, Fetch, Task, TaskStatus, Usage, UsageRow, UserDay, UserTasks,
};
pub use scope::Scope;
pub use thresholds::Thresholds;
pub use time::{Calendar, Day, Micros};

/// A user of the product that resells inference; ≥ 1.
pub type UserId = i64;

/// Shared immutable text: ids and names go into tallies and findings without new allocations.
pub type Text = std::sync::Arc<str>;
