//! Proto ↔ domain: the only code that knows both.
//!
//! In: [`command`] and [`query`] read requests. They look only at what the wire can get wrong (numbers that are no
//! value of an enum, times that are none, fields of a later version) and leave the rest to the ledger. Out:
//! [`answer`] fills responses; nothing there can fail.

pub(super) mod account;
mod answer;
mod command;
mod enums;
pub(super) mod query;
pub(super) mod reconciliation;
mod reconciliation_answer;
mod time;

pub(super) use answer::{balance, charged, entry, lease, past_balance};
pub(super) use command::Ask;

#[cfg(test)]
mod tests;
