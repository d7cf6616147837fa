//! fal's platform API, typed: what fal billed, as fal tells it. Reconciliation calls it.
//!
//! A call's phases:
//!
//! 1. `query` checks the question and cuts the period into pieces that fal takes.
//! 2. `guard` judges the address, `transport` sends the request with the account's [`ApiKey`] within every limit,
//!    and `retry` sends it again while that may help.
//! 3. `rows` reads the body, `decimal` its figures: exactly, or not at all.
//! 4. [`Pages`] hands out page after page, each with its body, so that memory holds one page and the caller keeps the
//!    evidence. Only `Ok(None)` says that everything was read.
//!
//! What goes wrong is an [`Error`] that names no URL, no key and nothing that fal wrote. [`fake`] is a fal to try all
//! of this on.

mod client;
mod decimal;
mod error;
pub mod fake;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod key;
mod pages;
mod prices;
mod query;
mod retry;
mod rows;
mod transport;

pub use client::{Client, Config};
pub use decimal::{Decimal, DecimalError, NanoUsd};
pub use error::{Error, Evidence, Kind, Scope, Stage, What};
pub use guard::Refusal;
pub use key::{ApiKey, BadKey};
pub use pages::{Listing, Page, Pages, Position};
pub use prices::Prices;
pub use query::{EventsQuery, Filter, Timeframe, UsageQuery, Window};
pub use retry::Retry;
pub use rows::{Account, Auth, BillingEvent, Bucket, Price, Usage, UsageRow};
pub use transport::Timeouts;
