//! What happened in the month: the same in every run, and a little of it wrong.

use scrip::ledger::hash::{ChainFields, PointsFields};
use scrip::ledger::{Field, Fingerprint, Hash, Micros};

const MINUTE: i64 = 60_000_000;
pub const DAY: i64 = 1_440 * MINUTE;
/// 2026-02-01T00:00:00Z
const START: i64 = 1_769_904_000_000_000;
const DAYS: i64 = 30;
pub const MOST_TASKS: i64 = 10_000_000;

pub const MODEL: &str = "fal-ai/model-1";
pub const WORKSPACE: &str = "studio";
pub const KEY_ID: &str = "key-1";
/// Points of each task.
pub const PRICE: i64 = 20;
/// What fal bills for each.
pub const COST_NANO_USD: i64 = 25_000_000;
/// What a user brought before the month: enough for all of it.
pub const CREDIT: i64 = 10_000_000;
/// Tasks of one user: one every third day.
const TASKS_A_USER: i64 = 10;
/// One task in so many was tried twice.
const RETRIED: i64 = 10;
/// Of one in so many the runner reported another cost: a finding each (B1).
const MISREPORTED: i64 = 100;

/// A month of so many tasks, each with its event.
#[derive(Clone, Copy)]
pub struct Month {
    pub tasks: i64,
}

/// One task, by its number.
pub struct Task {
    pub user_id: i64,
    /// Of its charge among the user's entries: the first is the credit.
    pub seq: i64,
    pub task_id: String,
    pub created: Micros,
    pub completed: Micros,
    pub request_id: String,
    /// The request of an attempt before, which cost nothing.
    pub earlier_request_id: Option<String>,
    pub reported_nano_usd: i64,
}

impl Month {
    pub const fn new(tasks: i64) -> Self {
        Self { tasks }
    }

    pub const fn start(self) -> Micros {
        Micros(START)
    }

    pub const fn end(self) -> Micros {
        Micros(START + DAYS * DAY)
    }

    pub const fn users(self) -> i64 {
        (self.tasks + TASKS_A_USER - 1) / TASKS_A_USER
    }

    /// Findings that a run must come to.
    pub const fn findings(self) -> i64 {
        (self.tasks + MISREPORTED - 1) / MISREPORTED
    }

    /// Costs that a run must plan: no task has one yet.
    pub const fn costs(self) -> i64 {
        self.tasks
    }

    /// What fal says all of it costs, in whole thousandths of a dollar.
    pub const fn bill_milli_usd(self) -> i64 {
        self.tasks * (COST_NANO_USD / 1_000_000)
    }

    pub fn task(self, number: i64) -> Task {
        let step = DAYS * DAY / self.tasks;
        let created = Micros(START + number * step);
        // Spread over all of the order, as random ids are.
        let spread = number.wrapping_mul(2_654_435_761).rem_euclid(1 << 32);
        let request_id = format!("{spread:08x}-0000-4000-8000-{number:012x}");
        Task {
            user_id: number % self.users() + 1,
            seq: number / self.users() + 2,
            task_id: format!("task-{number:032}"),
            created,
            // Before the end of the month, and so is its event: usage is of the month alone.
            completed: created.plus(step.min(MINUTE) / 2),
            earlier_request_id: (number % RETRIED == 0).then(|| format!("{request_id}-1")),
            request_id,
            reported_nano_usd: if number % MISREPORTED == 0 { 2 * COST_NANO_USD } else { COST_NANO_USD },
        }
    }

    /// When users brought their points.
    pub const fn credited(self) -> Micros {
        Micros(START - 40 * DAY)
    }
}

/// One entry of a user's chain, as both ledgers tell it.
pub struct Entry<'a> {
    pub user_id: i64,
    pub seq: i64,
    pub operation: &'a str,
    pub source_type: &'a str,
    pub transaction_type: i16,
    pub points: i64,
    pub before: i64,
    pub order_id: &'a str,
    pub time: Micros,
}

pub const TITLE: &str = "a picture";
pub const ACTOR: &str = "bench";

impl Entry<'_> {
    /// The hash that the ledger would give it.
    pub fn hash(&self, previous: &Hash) -> Hash {
        let after = self.before + self.points;
        let points = PointsFields {
            points: self.points,
            order_id: self.order_id,
            title: TITLE,
            source_type: self.source_type,
            balance_before: self.before,
            balance_after: after,
            created_at: self.time,
            request_id: None,
            actor: ACTOR,
        };
        let fields = ChainFields {
            user_id: self.user_id,
            user_seq: self.seq,
            operation: self.operation,
            source_type: self.source_type,
            transaction_type: self.transaction_type,
            is_cash: false,
            money: self.points,
            balance_before: self.before,
            balance_after: after,
            order_id: self.order_id,
            title: TITLE,
            deployment_uuid: "",
            pay_type: 0,
            time: self.time,
            request_id: None,
            actor: ACTOR,
            points: Some(points),
        };
        fields.chain(previous)
    }
}

/// The fingerprint that a charge of these tasks has.
pub fn fingerprint() -> Fingerprint {
    Fingerprint::new().number(Field::Amount, PRICE).text(Field::AppName, MODEL)
}
