//! The rows an audit reads. Points are of both purses together; 1 point = 1 fen. Upstream money is nano-USD.

use super::words::words;
use super::{Micros, Text, UserId};

words! {
    /// Where a task stands (`ts_fal_tasks.status`).
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

/// One run of a task at fal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// fal's request id; empty before it is known.
    pub online_id: Text,
    /// The id of the key it ran with; empty where it is not known.
    pub key_id: Text,
}

/// A task as the audit sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The caller's id of the task.
    pub task_id: Text,
    /// Who pays.
    pub user_id: UserId,
    /// The model, such as `fal-ai/flux/schnell`; equals fal's endpoint id.
    pub app_name: Text,
    /// Its attempts, oldest first. A request id that the task's own row names and no attempt does, is one as well.
    pub attempts: Vec<Attempt>,
    /// The id of the key of its newest attempt; empty where it is not known.
    pub key_id: Text,
    /// Where it stands.
    pub status: TaskStatus,
    /// What the user was charged, in points; 0 under a hold that was not captured.
    pub money: i64,
    /// What went back to the user, in points.
    pub refunded: i64,
    /// What an open hold sets aside, in points.
    pub held: i64,
    /// What the runner says fal cost, in nano-USD.
    pub reported_cost_nano_usd: Option<i64>,
    /// What an earlier run recorded as billed, in nano-USD. No rule reads it.
    pub billed_cost_nano_usd: Option<i64>,
    /// When it was charged or held: a task belongs to the period of this moment.
    pub create_time: Micros,
    /// When it completed, failed or was canceled.
    pub complete_time: Option<Micros>,
    /// Whether a runner holds a lease for it that neither expired nor was released.
    pub live_lease: bool,
}

impl Task {
    /// What the stream of tasks is sorted by, bytewise and without repeats: the least of its request ids (empty where
    /// it has none), then its id.
    pub fn sort_key(&self) -> (&str, &str) {
        (self.least_online_id(), &self.task_id)
    }

    /// The least request id of its attempts; empty where it has none.
    pub fn least_online_id(&self) -> &str {
        let known = self.attempts.iter().map(|attempt| &*attempt.online_id).filter(|id| !id.is_empty());
        known.min().unwrap_or_default()
    }

    /// The request id of its newest attempt that has one.
    pub fn online_id(&self) -> Option<&Text> {
        self.attempts.iter().rev().map(|attempt| &attempt.online_id).find(|id| !id.is_empty())
    }

    /// What is left of the charge, in points.
    pub const fn net(&self) -> i64 {
        self.money.saturating_sub(self.refunded)
    }

    /// Every key id it names, the newest first; empty ones left out.
    pub(super) fn key_ids(&self) -> impl Iterator<Item = &Text> {
        let attempts = self.attempts.iter().rev().map(|attempt| &attempt.key_id);
        std::iter::once(&self.key_id).chain(attempts).filter(|key_id| !key_id.is_empty())
    }
}

/// One billing event of fal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The account through which it was fetched.
    pub account_id: i64,
    /// The request it bills; a request that fal retried may have several events.
    pub request_id: Text,
    /// The model.
    pub endpoint_id: Text,
    /// When fal says it was billed.
    pub time: Micros,
    /// The cost after discount, in nano-USD.
    pub cost_nano_usd: i64,
    /// Billed units (megapixels, seconds, images …), in 10⁻⁹ units; `None` where fal did not say.
    pub units_nano: Option<i64>,
}

words! {
    /// How far the billing events of an account were fetched.
    Fetch {
        /// Every page, to the end of the evidence.
        Complete = "complete",
        /// Some of it is missing: what is absent proves nothing.
        Incomplete = "incomplete",
        /// Nothing was asked: another account of the workspace stands for it, or the run is not about it.
        NotAsked = "not_asked",
    }
}

/// An account of fal, with what was fetched through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub account_id: i64,
    /// Its name.
    pub name: Text,
    /// The workspace it belongs to; empty where it is not known: then it is one of its own.
    pub workspace: Text,
    /// Every key id it ever had.
    pub key_ids: Vec<Text>,
    /// Whether the run is about it. All accounts are handed in, since any may have run a task of any other's workspace.
    pub selected: bool,
    /// Its newest known balance in nano-USD, and when that was.
    pub balance: Option<(i64, Micros)>,
    /// How far its billing events were fetched.
    pub fetch: Fetch,
    /// fal's own totals; `None` where they were not fetched to the end.
    pub usage: Option<Usage>,
    /// What fal was asked for through it and answered so that it could not be read, in the words of the fetch.
    pub unreadable: Vec<Text>,
}

/// What fal's usage endpoint says of a workspace: the control total of its billing events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// From when, inclusive.
    pub start: Micros,
    /// Until when, exclusive.
    pub end: Micros,
    /// Its rows; a model has one for each unit and discount.
    pub rows: Vec<UsageRow>,
}

impl Usage {
    /// The cost of all rows, in nano-USD.
    pub fn total(&self) -> i128 {
        self.rows.iter().fold(0, |sum: i128, row| sum.saturating_add(row.cost_nano_usd.into()))
    }
}

/// One row of fal's usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The model.
    pub endpoint_id: Text,
    /// What is counted, in fal's words, such as `megapixel`.
    pub unit: Text,
    /// How many, in 10⁻⁹ units.
    pub units_nano: i128,
    /// The cost after discount, in nano-USD.
    pub cost_nano_usd: i64,
}

/// What a user's ledger says of the tasks created in the period: the entries whose order is one of them, whenever they
/// were written. In points, as positive numbers. Sorted by user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTasks {
    /// Whose.
    pub user_id: UserId,
    /// Drawn from the points purse by charges and captures.
    pub points_consumed: i64,
    /// Drawn from the cash purse by charges and captures.
    pub cash_consumed: i64,
}

/// What a user's ledger says of a day, by the time of the entry. In points of both purses, as positive numbers. Days
/// without movement are left out; the days before the period are needed as far back as A6 looks. Sorted by user, day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserDay {
    /// Whose.
    pub user_id: UserId,
    /// The day, by the calendar of the [`super::Scope`].
    pub day: super::Day,
    /// Drawn by charges and captures.
    pub consumed: i64,
    /// Given back by refunds.
    pub refunded: i64,
    /// Put in by credits: bought, given, earned.
    pub credited: i64,
}

/// Something `verify` found: a stored figure that is not what the rest of the ledger says it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Whose ledger, where it is one user's.
    pub user_id: Option<UserId>,
    /// The table.
    pub table: Text,
    /// The row, such as `user 7 seq 3`.
    pub key: Text,
    /// The column or rule.
    pub what: Text,
    /// What it must be.
    pub expected: Text,
    /// What is stored.
    pub found: Text,
}

#[cfg(test)]
mod tests {
    use super::super::rules::sample;

    #[test]
    fn a_task_sorts_by_the_least_of_its_request_ids() {
        let mut task = sample::task();
        assert_eq!(task.sort_key(), ("r1", "t1"));
        task.attempts = sample::attempts(&[("r9", "k"), ("", "k"), ("r3", "k"), ("", "")]);
        assert_eq!(task.sort_key(), ("r3", "t1"));
        assert_eq!(task.online_id().map(|id| &**id), Some("r3"));
        task.attempts.clear();
        assert_eq!((task.sort_key(), task.online_id()), (("", "t1"), None));
    }
}
