//! A user's purses and the head of its chain of entries.

use super::{Funding, Hash, Micros, Money, UserId};

/// One row of `ts_users`: the figures every command of that user is judged by, under that row's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user, ≥ 1.
    pub user_id: UserId,
    /// What each purse holds; never below zero, and never below `held`.
    pub balance: Money,
    /// What open holds have set aside in each purse.
    pub held: Money,
    /// The `user_seq` of the newest entry; 0 before the first. Gapless.
    pub entry_seq: i64,
    /// The hash of the newest entry; all zero before the first.
    pub chain_hash: Hash,
    /// The time of the newest entry: the next one is never earlier.
    pub last_entry_time: Micros,
    /// When the row was created.
    pub create_time: Micros,
    /// When a balance or hold last changed.
    pub update_time: Micros,
}

impl User {
    /// A user that is credited for the first time.
    pub const fn new(user_id: UserId, now: Micros) -> Self {
        Self {
            user_id,
            balance: Money::ZERO,
            held: Money::ZERO,
            entry_seq: 0,
            chain_hash: Hash::ZERO,
            last_entry_time: now,
            create_time: now,
            update_time: now,
        }
    }

    /// What can be drawn: each purse less what is held of it.
    ///
    /// # Panics
    /// If more is held than there is, which the tables' checks rule out.
    #[allow(clippy::expect_used, reason = "0 ≤ held ≤ balance is a CHECK of the table and of every plan")]
    pub const fn available(&self) -> Money {
        self.balance.checked_sub(self.held).expect("no more is held than there is")
    }

    /// What can be drawn under `funding`, and what is held of the same purses.
    pub const fn usable(&self, funding: Funding) -> (Money, Money) {
        (self.available().usable(funding), self.held.usable(funding))
    }
}
