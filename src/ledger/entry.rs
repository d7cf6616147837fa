//! Ledger entries: one row of `ts_financial_transactions`, and for the points purse its twin in `ts_points_detail`.

use super::text_enum::text_enum;
use super::{Hash, Micros, Purse, Text, UserId};

text_enum! {
    /// What moved the money.
    Operation {
        /// A charge at the start of a task.
        Charge = "charge",
        /// The capture of a hold.
        Capture = "capture",
        /// Money back to where it came from.
        Refund = "refund",
        /// Money in.
        Credit = "credit",
        /// A withdrawal or correction.
        Debit = "debit",
    }
}

text_enum! {
    /// The seed's `source_type`: why points moved, as its readers know it.
    SourceType {
        /// Bought.
        Recharge = "recharge",
        /// Spent on a task.
        Consume = "consume",
        /// Given.
        Gift = "gift",
        /// Returned.
        Refund = "refund",
        /// Earned.
        Reward = "reward",
        /// Moved by an operator.
        System = "system",
        /// Earned by a user's agent; cash only.
        AgentRevenue = "agent_revenue",
    }
}

/// The seed's `transaction_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum TransactionType {
    /// Recharge, gift, reward or refund.
    In = 0,
    /// Charge, capture or debit.
    Consume = 1,
    /// Agent revenue.
    AgentRevenue = 3,
}

impl TransactionType {
    /// The type that an operation of this source is written as.
    pub const fn of(operation: Operation, source_type: SourceType) -> Self {
        match (operation, source_type) {
            (Operation::Charge | Operation::Capture | Operation::Debit, _) => TransactionType::Consume,
            (Operation::Credit, SourceType::AgentRevenue) => TransactionType::AgentRevenue,
            (Operation::Credit | Operation::Refund, _) => TransactionType::In,
        }
    }

    /// The stored number.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

/// One movement of one purse. Append-only; `balance_after = balance_before + amount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose purse.
    pub user_id: UserId,
    /// Position in the user's chain: 1, 2, 3 … without a gap.
    pub user_seq: i64,
    /// Which purse.
    pub purse: Purse,
    /// What moved it.
    pub operation: Operation,
    /// Why, in the seed's words.
    pub source_type: SourceType,
    /// Points, signed; never 0.
    pub amount: i64,
    /// The purse before.
    pub balance_before: i64,
    /// The purse after.
    pub balance_after: i64,
    /// The task of a charge, capture or refund; the caller's order otherwise. May be empty.
    pub order_id: Text,
    /// A line for people.
    pub title: Text,
    /// The deployment that caused it; may be empty.
    pub deployment_uuid: Text,
    /// The caller's payment channel; 0 where it has none.
    pub pay_type: i32,
    /// When; never before the user's previous entry.
    pub time: Micros,
    /// The idempotency key it came with, if one was given.
    pub request_id: Option<Text>,
    /// Who asked for it.
    pub actor: Text,
    /// Hash of this entry and the user's previous hash: see [`super::hash`].
    pub hash: Hash,
}

impl Entry {
    /// The seed's `transaction_type`.
    pub const fn transaction_type(&self) -> TransactionType {
        TransactionType::of(self.operation, self.source_type)
    }
}

/// The entries of one operation: consecutive numbers of one user's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRange {
    /// The first entry's `user_seq`.
    pub first_seq: i64,
    /// How many: 1 or 2.
    pub count: i16,
}
