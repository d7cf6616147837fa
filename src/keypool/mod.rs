//! The key pool: which fal account's key a task gets, for how long, and what the account is blamed for afterwards.
//!
//! A **lease is a row, not a counter**: an account's workspace is as busy as it has open leases, and a slot comes back
//! only by closing a row, because its runner reported or because its time passed. Nothing here knows a database, a
//! clock or randomness: rows, `now` and random numbers are handed in, and what is to be written comes out as a
//! [`Plan`], so that a lease is committed with the charge it belongs to, and all of it can be simulated
//! (`benches/keysim`).
//!
//! The phases of one selection:
//!
//! | phase | where | what |
//! |---|---|---|
//! | propose | [`view`] | a cached view of the whole pool, at most a second old, names a few candidates |
//! | lock | the store | the candidates' workspaces, their accounts and open leases, and one `now` |
//! | choose | [`choice`] | among the locked rows alone: eligible, then tier, then least [`load`](score) |
//! | take | [`pool`] | the lease's row, with the next fence of its task |
//! | observe | [`view`] | the view hears at once what was found and done |
//!
//! and of one report:
//!
//! | phase | where | what |
//! |---|---|---|
//! | classify | [`blame`] | what the answer says about the account, whatever the runner calls it |
//! | close | [`pool`] | the lease's row; the first report wins |
//! | judge | [`verdict`](pool) | the account is taken out, counted against, or innocent, seen beside its [peers](guard) |
//! | recover | [`circuit`] | a cooldown that only extends, one probe for the whole fleet, a ramped return |
//!
//! The ledger asks for a lease, or gives one back, through [`desk`], in the middle of deciding the command it belongs to.

#![deny(clippy::arithmetic_side_effects)]

pub mod account;
pub mod admin;
pub mod audit;
pub mod blame;
pub mod choice;
pub mod circuit;
pub mod command;
pub mod desk;
pub mod footprint;
pub mod guard;
pub mod lease;
pub mod pool;
pub mod refusal;
mod rows;
pub mod score;
pub mod secret;
pub mod settings;
mod shelves;
#[cfg(test)]
mod tests;
mod verdict;
pub mod verify;
pub mod view;
pub mod vitals;
pub mod workspace;

pub use account::{Account, AccountStatus, AllowList};
pub use admin::{AccountChanges, NewAccount};
pub use audit::{AuditLine, FieldChange, Subject};
pub use blame::{Report, classify};
pub use choice::{Ask, Choice, NoKey};
pub use circuit::{Cause, Circuit, Gate, Health, Out};
pub use command::{Command, Described, Done};
pub use desk::{Desk, Observed};
pub use footprint::Footprint;
pub use guard::{Peer, Peers};
pub use lease::{Lease, LeaseOutcome, LeaseState};
pub use pool::{Plan, Pool, Released, Snapshot, Unknown, Unrenewed};
pub use refusal::{Refusal, Why};
pub use secret::{AccountKey, KeyWrite, NewKey, Purpose, Reseal, Sealed};
pub use settings::{Backoff, Settings};
pub use view::{Candidates, Seen, View};
pub use vitals::Vitals;
pub use workspace::Workspace;

/// An account's row in `ts_fal_account`; ≥ 1.
pub type AccountId = i64;
