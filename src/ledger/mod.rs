//! The ledger: what a charge, hold, refund or credit does to a user's purses, decided without touching the world.
//!
//! Nothing in this room knows a database, a clock, randomness or a wire format: given the same [`Snapshot`] and the
//! same [`Work`] it returns the same answer, so it can be re-run after a conflict, fuzzed and simulated.
//!
//! The phases of one batch:
//!
//! | phase | where | what |
//! |---|---|---|
//! | check | [`submission`] | a caller's command becomes a [`Submission`]: limits held, content fingerprinted |
//! | footprint | [`footprint`] | which users, tasks and request ids the batch touches, sorted |
//! | snapshot | the store | those rows, read under the users' locks, and one `now` |
//! | decide | [`decide`](mod@decide) | each item in order: idempotency first, then state, then balance |
//! | plan | [`plan`] | the rows to write, as data; the store writes them in one commit |
//!
//! A refusal is a value ([`Rejection`]), never an error path, and leaves no trace but its frozen outcome.

#![deny(clippy::arithmetic_side_effects)]

pub mod command;
pub mod decide;
pub mod entry;
pub mod fingerprint;
pub mod footprint;
pub mod hash;
pub mod key;
pub mod limits;
pub mod money;
pub mod plan;
pub mod rejection;
pub mod request;
mod state;
pub mod submission;
pub mod task;
pub(crate) mod text_enum;
pub mod time;
pub mod user;
pub mod verify;

pub use command::Command;
pub use decide::{Decider, Decision, decide};
pub use entry::{Entry, EntryRange, Operation, SourceType, TransactionType};
pub use fingerprint::{Field, Fingerprint};
pub use footprint::Footprint;
pub use hash::Hash;
pub use key::{KeyAsk, KeySelection, Keys, LeaseOutcome, Leased, NamedLease, NoKeys, Report, Why};
pub use limits::Limits;
pub use money::{Funding, Money, Purse};
pub use plan::{Attempt, Change, Plan, Snapshot, TaskWrite};
pub use rejection::{FieldViolation, Rejection};
pub use request::{Claim, Frozen, Method, RequestRecord};
pub use submission::{Batch, Submission, Work};
pub use task::{HoldState, Task, TaskStatus};
pub use time::Micros;
pub use user::User;

/// A user of the product that resells inference. Given by the caller; ≥ 1.
pub type UserId = i64;

/// Shared immutable text: ids and names are copied into rows, answers and hashes without new allocations.
pub type Text = std::sync::Arc<str>;
