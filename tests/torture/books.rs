//! The tables as they are at the end, read past the service: what the checkers compare the history with.

use crate::answer::Entry;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) points: i64,
    pub(crate) cash: i64,
    pub(crate) points_held: i64,
    pub(crate) cash_held: i64,
    pub(crate) seq: i64,
    /// The hash of its newest entry, in hexadecimal.
    pub(crate) head: String,
}

/// Points and cash.
pub(crate) type Both = (i64, i64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) task: String,
    pub(crate) user: i64,
    pub(crate) status: String,
    pub(crate) app: String,
    pub(crate) money: i64,
    pub(crate) charged: Both,
    pub(crate) refunded: Both,
    pub(crate) held: Both,
    pub(crate) authorized: Both,
    /// Empty: it was charged at once.
    pub(crate) hold: String,
    pub(crate) input: String,
    /// As its runner reported it; -1: not.
    pub(crate) cost: i64,
    pub(crate) error: String,
}

/// A row of `scrip_task_attempts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) task: String,
    pub(crate) attempt: i64,
    pub(crate) online: String,
}

/// A row of `ts_financial_transactions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) entry: Entry,
    /// Empty: none.
    pub(crate) request: String,
    pub(crate) hash: String,
    pub(crate) kind: i64,
}

/// A row of `ts_points_detail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Points {
    pub(crate) user: i64,
    pub(crate) seq: i64,
    pub(crate) points: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) order: String,
    pub(crate) source: String,
    pub(crate) at: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) user: i64,
    pub(crate) request: String,
    pub(crate) method: String,
    /// The first entry it wrote and how many; none: 0.
    pub(crate) first: i64,
    pub(crate) count: i64,
    /// Empty: it was done.
    pub(crate) refusal: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) lease: String,
    pub(crate) account: i64,
    pub(crate) key: String,
    pub(crate) runner: String,
    pub(crate) task: String,
    pub(crate) fence: i64,
    pub(crate) acquired: i64,
    /// `i64::MAX` while it takes its slot.
    pub(crate) released: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: i64,
    pub(crate) workspace: String,
    pub(crate) limit: i64,
    pub(crate) uses: i64,
}

/// Evidence of an upstream event.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) workspace: String,
    pub(crate) request: String,
    pub(crate) at: i64,
}

/// Every table that is looked at; the ledgers by user and seq.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) users: Vec<User>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) ledger: Vec<Row>,
    pub(crate) points: Vec<Points>,
    pub(crate) requests: Vec<Request>,
    pub(crate) leases: Vec<Lease>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) events: Vec<Event>,
}
