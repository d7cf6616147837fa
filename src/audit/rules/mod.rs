//! The rules. Each is a function of the figures it judges and of the thresholds, and answers a finding or nothing.
//!
//! | rule | judges | fires when |
//! |---|---|---|
//! | [`workspace::a1`] | a workspace | the gap between bill and record is more than 10 % of the bill |
//! | [`model::a2`] | a model | completed tasks were charged for it and fal bills nothing |
//! | [`model::a3_request`], [`model::a3_model`] | a request, a model | fal bills it and no task has it |
//! | [`user::a4`] | a user | the tasks' money is not what the ledger consumed for them |
//! | [`user::a5`] | a user's day | refunds are more than 30 % of the consumption |
//! | [`user::a6`] | a user's day | more than 5 times the mean of its active days before |
//! | [`task::a7`] | a task | it was free and costs |
//! | [`workspace::a8`] | a workspace | its balance is less than 1.00 USD |
//! | [`task::b1`] | a task | the reported cost is not the billed one |
//! | [`task::b2`] | a task | refunded in full, yet billed |
//! | [`task::b3`] | a task | billed, yet pending, processing or canceled |
//! | [`ledger::b4`] | the ledger | `verify` found something |
//! | [`task::b5`] | a task | what is left of the charge is worth less than the cost |
//! | [`task::b6`] | a task | charged, open for long, no live lease, no event in all that time |
//! | [`workspace::b7`] | a workspace | the usage total is not the sum of the events |
//!
//! Rules that argue from what is absent, or from a sum that must be whole (A1, A2, B1, B6, B7), are silent where an
//! account's fetch was not complete. Rules that argue from what is there (A3, A7, B2, B3, B5) are not. *Billed* is a
//! cost above zero: an event of no cost says that a job ran, not that anybody pays for it.

pub mod ledger;
pub mod model;
#[cfg(test)]
pub(crate) mod sample;
pub mod task;
pub mod user;
pub mod workspace;
