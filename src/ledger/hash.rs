//! The chain: each entry's hash covers its content, its points row and the user's previous hash.
//!
//! Version 1 is SHA-256 over: the version byte, the fields of the financial row in the order of
//! [`ChainFields`], a byte that tells whether there is a points row, that row's fields, the previous hash. Numbers are
//! 8 bytes big-endian; texts are their length (8 bytes) and their UTF-8 bytes, so no two contents share an encoding.

use sha2::{Digest, Sha256};

use super::{Entry, Micros, Purse};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The previous hash of a user's first entry.
    pub const ZERO: Hash = Hash([0; 32]);
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// The stored content of one entry, as `verify` reads it back: the words and numbers of the columns themselves.
#[derive(Clone, Copy, Debug)]
pub struct ChainFields<'a> {
    /// `user_id`
    pub user_id: i64,
    /// `user_seq`
    pub user_seq: i64,
    /// `operation`
    pub operation: &'a str,
    /// `source_type`
    pub source_type: &'a str,
    /// `transaction_type`
    pub transaction_type: i16,
    /// `is_cash`
    pub is_cash: bool,
    /// `money`
    pub money: i64,
    /// `balance_before`
    pub balance_before: i64,
    /// `balance_after`
    pub balance_after: i64,
    /// `order_id`
    pub order_id: &'a str,
    /// `title`
    pub title: &'a str,
    /// `deployment_uuid`
    pub deployment_uuid: &'a str,
    /// `pay_type`
    pub pay_type: i32,
    /// `time`
    pub time: Micros,
    /// `request_id`
    pub request_id: Option<&'a str>,
    /// `actor`
    pub actor: &'a str,
    /// Its row in `ts_points_detail`, where it moved points.
    pub points: Option<PointsFields<'a>>,
}

/// The stored content of one row of `ts_points_detail`.
#[derive(Clone, Copy, Debug)]
pub struct PointsFields<'a> {
    /// `points`
    pub points: i64,
    /// `order_id`
    pub order_id: &'a str,
    /// `title`
    pub title: &'a str,
    /// `source_type`
    pub source_type: &'a str,
    /// `balance_before`
    pub balance_before: i64,
    /// `balance_after`
    pub balance_after: i64,
    /// `created_at`
    pub created_at: Micros,
    /// `request_id`
    pub request_id: Option<&'a str>,
    /// `actor`
    pub actor: &'a str,
}

impl<'a> ChainFields<'a> {
    /// The fields an entry is written with.
    pub fn of(entry: &'a Entry) -> Self {
        Self {
            user_id: entry.user_id,
            user_seq: entry.user_seq,
            operation: entry.operation.as_str(),
            source_type: entry.source_type.as_str(),
            transaction_type: entry.transaction_type().code(),
            is_cash: entry.purse.is_cash(),
            money: entry.amount,
            balance_before: entry.balance_before,
            balance_after: entry.balance_after,
            order_id: &entry.order_id,
            title: &entry.title,
            deployment_uuid: &entry.deployment_uuid,
            pay_type: entry.pay_type,
            time: entry.time,
            request_id: entry.request_id.as_deref(),
            actor: &entry.actor,
            points: (entry.purse == Purse::Points).then_some(PointsFields {
                points: entry.amount,
                order_id: &entry.order_id,
                title: &entry.title,
                source_type: entry.source_type.as_str(),
                balance_before: entry.balance_before,
                balance_after: entry.balance_after,
                created_at: entry.time,
                request_id: entry.request_id.as_deref(),
                actor: &entry.actor,
            }),
        }
    }

    /// The hash of these fields after `previous`.
    pub fn chain(&self, previous: &Hash) -> Hash {
        let mut sink = Sink(Sha256::new());
        sink.0.update([1u8]);
        sink.number(self.user_id);
        sink.number(self.user_seq);
        sink.text(self.operation);
        sink.text(self.source_type);
        sink.number(self.transaction_type.into());
        sink.number(self.is_cash.into());
        sink.number(self.money);
        sink.number(self.balance_before);
        sink.number(self.balance_after);
        sink.text(self.order_id);
        sink.text(self.title);
        sink.text(self.deployment_uuid);
        sink.number(self.pay_type.into());
        sink.number(self.time.0);
        sink.optional(self.request_id);
        sink.text(self.actor);
        sink.number(self.points.is_some().into());
        if let Some(row) = &self.points {
            sink.number(row.points);
            sink.text(row.order_id);
            sink.text(row.title);
            sink.text(row.source_type);
            sink.number(row.balance_before);
            sink.number(row.balance_after);
            sink.number(row.created_at.0);
            sink.optional(row.request_id);
            sink.text(row.actor);
        }
        sink.0.update(previous.0);
        Hash(sink.0.finalize().into())
    }
}

struct Sink(Sha256);

impl Sink {
    fn number(&mut self, value: i64) {
        self.0.update(value.to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.0.update((value.len() as u64).to_be_bytes());
        self.0.update(value.as_bytes());
    }

    fn optional(&mut self, value: Option<&str>) {
        self.number(value.is_some().into());
        self.text(value.unwrap_or_default());
    }
}
