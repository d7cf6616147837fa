//! Rows for the tests of this room: sound ones, of which each test changes what it is about.

use super::super::{
    Account, Attempt, Event, Fetch, Micros, Scope, Task, TaskStatus, Thresholds, UserDay, UserTasks,
};

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// The period: ten days from the hundredth day of 1970, judged 30 days later.
pub(crate) const START: Micros = Micros(100 * DAY);

/// A moment of the period.
pub(crate) const fn at(micros: i64) -> Micros {
    START.plus(micros)
}

pub(crate) fn scope() -> Scope {
    Scope::of(START, at(10 * DAY), at(40 * DAY), &Thresholds::default())
}

/// Account `id` of a workspace, whose key is `k` and its id, fetched to the end.
pub(crate) fn account(account_id: i64, workspace: &str) -> Account {
    Account {
        account_id,
        name: format!("name {account_id}").into(),
        workspace: workspace.into(),
        key_ids: vec![format!("k{account_id}").into()],
        selected: true,
        balance: None,
        fetch: Fetch::Complete,
        usage: None,
        unreadable: vec![],
    }
}

pub(crate) fn attempts(attempts: &[(&str, &str)]) -> Vec<Attempt> {
    let of = |(online_id, key_id): &(&str, &str)| Attempt {
        online_id: (*online_id).into(),
        key_id: (*key_id).into(),
    };
    attempts.iter().map(of).collect()
}

/// Task `t1` of user 7: completed, 100 points charged, 0.1 USD reported, request `r1` on account 1.
pub(crate) fn task() -> Task {
    Task {
        task_id: "t1".into(),
        user_id: 7,
        app_name: "fal-ai/flux/dev".into(),
        attempts: attempts(&[("r1", "k1")]),
        key_id: "k1".into(),
        status: TaskStatus::Completed,
        money: 100,
        refunded: 0,
        held: 0,
        reported_cost_nano_usd: Some(100_000_000),
        billed_cost_nano_usd: None,
        create_time: at(HOUR),
        complete_time: Some(at(HOUR + MINUTE)),
        live_lease: false,
    }
}

/// An event of account 1, of the sample task's model, soon after it was created.
pub(crate) fn event(request_id: &str, cost_nano_usd: i64) -> Event {
    Event {
        account_id: 1,
        request_id: request_id.into(),
        endpoint_id: "fal-ai/flux/dev".into(),
        time: at(HOUR + MINUTE),
        cost_nano_usd,
        units_nano: Some(1_000_000_000),
    }
}

/// What the ledger says of the sample task, if it agrees.
pub(crate) const fn user_tasks() -> UserTasks {
    UserTasks { user_id: 7, points_consumed: 60, cash_consumed: 40 }
}

/// A day of user 7, counted from the first of the period.
pub(crate) const fn user_day(day: i32, consumed: i64, refunded: i64) -> UserDay {
    UserDay {
        user_id: 7,
        day: super::super::Day(100_i32.saturating_add(day)),
        consumed,
        refunded,
        credited: 0,
    }
}
