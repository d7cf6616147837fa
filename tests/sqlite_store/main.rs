//! The SQLite store against real files.

#![allow(clippy::unwrap_used, missing_docs)]

mod failing;
mod keys;
mod opening;
mod reading;
mod speed;
mod statements;
mod support;
mod writing;
