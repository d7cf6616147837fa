//! A task: the job a user pays for, with the money charged, refunded and held for it.

use super::text_enum::text_enum;
use super::{EntryRange, Fingerprint, Micros, Money, Text, UserId};

text_enum! {
    /// The seed's `status` of a task.
    TaskStatus {
        /// Charged or held; no runner has started it.
        Pending = "pending",
        /// A runner has started it.
        Processing = "processing",
        /// It ended well.
        Completed = "completed",
        /// It ended badly.
        Failed = "failed",
        /// Its hold was voided or expired before it started.
        Canceled = "canceled",
    }
}

impl TaskStatus {
    /// Whether a runner may still start, complete or fail it.
    pub const fn is_open(self) -> bool {
        matches!(self, TaskStatus::Pending | TaskStatus::Processing)
    }
}

text_enum! {
    /// How a hold stands. A hold leaves `Open` exactly once.
    HoldState {
        /// Money is set aside.
        Open = "open",
        /// Captured, wholly or in part; the rest was released.
        Captured = "captured",
        /// Released by the caller or by the task's failure.
        Voided = "voided",
        /// Released because its time passed.
        Expired = "expired",
    }
}

/// One row of `ts_fal_tasks`, without the JSON the caller and the runner left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The caller's id of the task.
    pub task_id: Text,
    /// Who pays.
    pub user_id: UserId,
    /// fal's id of the newest attempt; empty before it is known.
    pub online_task_id: Text,
    /// The model, such as `fal-ai/flux/schnell`.
    pub app_name: Text,
    /// The id of the fal key that ran it (the seed's `api_key`); empty before it is known.
    pub key_id: Text,
    /// The caller's kind of task.
    pub task_type: Text,
    /// Where it stands.
    pub status: TaskStatus,
    /// What the user was charged, in points; the captured amount where it was held first.
    pub money: i64,
    /// What was charged, by purse. Its total is `money`.
    pub charged: Money,
    /// What went back, by purse; never more than `charged`.
    pub refunded: Money,
    /// What is set aside now, by purse.
    pub held: Money,
    /// What was set aside at first, by purse; zero for a task charged at once.
    pub authorized: Money,
    /// How its hold stands; `None` for a task charged at once.
    pub hold_state: Option<HoldState>,
    /// When an open hold expires.
    pub hold_expire_time: Option<Micros>,
    /// What the runner says fal cost, in nano-USD.
    pub reported_cost_nano_usd: Option<i64>,
    /// What fal billed, in nano-USD; written by reconciliation alone.
    pub billed_cost_nano_usd: Option<i64>,
    /// fal's billable units, a decimal as fal wrote it.
    pub billable_units: Option<Text>,
    /// The lease of the newest attempt.
    pub lease_id: Option<Text>,
    /// Why it failed.
    pub error: Option<Text>,
    /// The title of the entries that a capture will write; `None` for a task charged at once.
    pub title: Option<Text>,
    /// The deployment that caused it; may be empty.
    pub deployment_uuid: Text,
    /// The caller's payment channel.
    pub pay_type: i32,
    /// When it was charged or held.
    pub create_time: Micros,
    /// When it completed, failed or was canceled.
    pub complete_time: Option<Micros>,
    /// The content it was created with.
    pub fingerprint: Fingerprint,
    /// The content it was completed or failed with.
    pub settle_fingerprint: Option<Fingerprint>,
    /// The first entry of its charge or capture.
    pub charge_seq: Option<i64>,
    /// The entries of its newest refund.
    pub refund_entries: Option<EntryRange>,
    /// The entries that completing or failing it wrote.
    pub settle_entries: Option<EntryRange>,
    /// fal's ids of its attempts, oldest first.
    pub attempts: Vec<Text>,
}

impl Task {
    /// Whether it was created by Authorize.
    pub const fn is_hold(&self) -> bool {
        self.hold_state.is_some()
    }

    /// What can still be refunded, by purse.
    ///
    /// # Panics
    /// If more was refunded than charged, which the table's check rules out.
    #[allow(clippy::expect_used, reason = "refunded ≤ charged is a CHECK of the table and of every plan")]
    pub const fn refundable(&self) -> Money {
        self.charged.checked_sub(self.refunded).expect("no more was refunded than charged")
    }

    /// The entries of its charge or capture, if it moved money.
    pub fn charge_entries(&self) -> Option<EntryRange> {
        let purses = i16::from(self.charged.points > 0).saturating_add(i16::from(self.charged.cash > 0));
        self.charge_seq.map(|first_seq| EntryRange { first_seq, count: purses })
    }

    /// Its cost: what fal billed, else what the runner reported; nano-USD.
    pub const fn cost_nano_usd(&self) -> Option<i64> {
        match self.billed_cost_nano_usd {
            Some(cost) => Some(cost),
            None => self.reported_cost_nano_usd,
        }
    }
}
