//! Random evidence: few ids and small times, so that tasks, requests and accounts meet.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use scrip::audit::{
    Account, Attempt, Calendar, Day, Event, Fetch, Micros, Scope, Task, TaskStatus, Thresholds, Usage,
    UsageRow, UserDay, UserTasks,
};

/// All that an audit is handed, sorted as it asks.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) scope: Scope,
    pub(crate) thresholds: Thresholds,
    pub(crate) accounts: Vec<Account>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) events: Vec<Event>,
    pub(crate) user_tasks: Vec<UserTasks>,
    pub(crate) user_days: Vec<UserDay>,
}

const START: i64 = 1_000;
const END: i64 = 2_000;

fn word(of: &'static str, most: u8) -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 9 => (0..most).prop_map(move |number| format!("{of}{number}"))]
}

/// Times before, in and after the period, its edges more often than chance would have them.
fn time() -> impl Strategy<Value = Micros> {
    let edges = prop::sample::select(vec![START - 1, START, END - 1, END]);
    prop_oneof![8 => START - 200..END + 300, 2 => edges].prop_map(Micros)
}

/// Costs of which as many as there are rows here fit into a row of layer 2.
fn cost() -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(0), 8 => 1..100_000_000_i64, 1 => Just(i64::MAX / 64), 1 => -5..0_i64]
}

fn task() -> impl Strategy<Value = Task> {
    let attempt = (word("r", 12), word("k", 5))
        .prop_map(|(online_id, key_id)| Attempt { online_id: online_id.into(), key_id: key_id.into() });
    let money = (0..60_i64, 0..60_i64, prop_oneof![4 => Just(0), 1 => 1..9_i64]);
    let costs = (option::of(cost().prop_map(|cost| cost.max(0))), option::of(0..9_i64));
    let times = (time(), option::of(0..300_i64));
    let row = (1..4_i64, 0..3_u8, prop::sample::select(TaskStatus::ALL), any::<bool>(), word("k", 5));
    (vec(attempt, 0..4), money, costs, times, row).prop_map(|(attempts, money, costs, times, row)| Task {
        task_id: "".into(),
        user_id: row.0,
        app_name: format!("m{}", row.1).into(),
        attempts,
        key_id: row.4.into(),
        status: row.2,
        money: money.0,
        refunded: money.1.min(money.0),
        held: money.2,
        reported_cost_nano_usd: costs.0,
        billed_cost_nano_usd: costs.1,
        create_time: times.0,
        complete_time: times.1.map(|after| times.0.plus(after)),
        live_lease: row.3,
    })
}

/// Accounts 1 to 3 have the keys k0 to k2; k3 and k4 are nobody's.
fn accounts() -> impl Strategy<Value = Vec<Account>> {
    let usage = (0..3_u8, cost()).prop_map(|(model, cost_nano_usd)| UsageRow {
        endpoint_id: format!("m{model}").into(),
        unit: "image".into(),
        units_nano: 1,
        cost_nano_usd,
    });
    let usage = vec(usage, 0..3).prop_map(|rows| Usage { start: Micros(START), end: Micros(END), rows });
    let fetch =
        prop_oneof![5 => Just(Fetch::Complete), 1 => Just(Fetch::Incomplete), 1 => Just(Fetch::NotAsked)];
    let balance = option::of((0..2_000_000_000_i64, time()));
    vec((word("w", 2), prop::bool::weighted(0.8), fetch, balance, option::of(usage)), 3).prop_map(|rows| {
        let account = |(number, row): (i64, (String, bool, Fetch, _, _))| Account {
            account_id: number + 1,
            name: format!("account {number}").into(),
            workspace: row.0.into(),
            key_ids: vec![format!("k{number}").into()],
            selected: row.1,
            balance: row.3,
            fetch: row.2,
            usage: row.4,
            unreadable: vec![],
        };
        (0..).zip(rows).map(account).collect()
    })
}

fn event() -> impl Strategy<Value = Event> {
    (1..4_i64, word("r", 14), 0..4_u8, time(), cost(), option::of(0..9_i64)).prop_map(|row| Event {
        account_id: row.0,
        request_id: row.1.into(),
        endpoint_id: format!("m{}", row.2).into(),
        time: row.3,
        cost_nano_usd: row.4,
        units_nano: row.5,
    })
}

fn users() -> impl Strategy<Value = (Vec<UserTasks>, Vec<UserDay>)> {
    let tasks = (0..100_i64, 0..50_i64);
    let days = vec((0..3_000_i64, 0..600_i64, 0..9_i64), 12);
    vec((tasks, days), 3).prop_map(|rows| {
        let (mut user_tasks, mut user_days) = (Vec::new(), Vec::new());
        for (user_id, ((points_consumed, cash_consumed), days)) in (1..).zip(rows) {
            user_tasks.push(UserTasks { user_id, points_consumed, cash_consumed });
            for (day, (consumed, refunded, credited)) in (0..).zip(days) {
                user_days.push(UserDay { user_id, day: Day(day), consumed, refunded, credited });
            }
        }
        (user_tasks, user_days)
    })
}

/// Any evidence, over days of 250 microseconds: the period is of four of them, after four others.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let reach = (prop::sample::select(vec![START - 100, START]), START + 200..END + 600);
    let rows = (vec(task(), 0..14), vec(event(), 0..24));
    (reach, accounts(), rows, users()).prop_map(
        |((events_start, now), accounts, (mut tasks, events), users)| {
            let thresholds =
                Thresholds { billing_lag_micros: 100, stuck_after_micros: 300, ..Thresholds::default() };
            let mut scope = Scope::of(Micros(START), Micros(END), Micros(now), &thresholds);
            scope.events_start = Micros(events_start);
            let midnights = (0..13).map(|day| Micros(day * 250)).collect();
            scope.calendar = Calendar::of_midnights(Day(0), midnights).expect("ascending");
            for (number, task) in tasks.iter_mut().enumerate() {
                task.task_id = format!("t{number:02}").into();
            }
            tasks.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
            let (user_tasks, user_days) = users;
            let mut world = World { scope, thresholds, accounts, tasks, events, user_tasks, user_days };
            world.sort_events();
            world
        },
    )
}

impl World {
    /// Sorts the events as an audit asks; those of one request stay in the order they have.
    pub(crate) fn sort_events(&mut self) {
        self.events.sort_by(|one, other| one.request_id.cmp(&other.request_id));
    }
}
