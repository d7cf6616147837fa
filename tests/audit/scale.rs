//! A month of a million tasks against a million events: `cargo test --release --test audit -- --ignored --nocapture`.

use scrip::audit::{
    Account, Attempt, Audit, CostChange, Event, Fetch, Finding, Micros, Need, Scope, Sink, Task, TaskStatus,
    Thresholds,
};

const MILLION: u64 = 1_000_000;
const DAY: i64 = 86_400_000_000;

/// Counts what would go to the store.
#[derive(Default)]
struct Counted {
    findings: u64,
    costs: u64,
}

impl Sink for Counted {
    fn finding(&mut self, _: Finding) {
        self.findings += 1;
    }

    fn cost(&mut self, _: CostChange) {
        self.costs += 1;
    }
}

/// The id of a request, spread over all of the order as random ids are.
fn request(number: u64) -> String {
    format!("{:016x}", number * 18_446_744_073_709)
}

fn task(number: u64) -> Task {
    let create_time = Micros((number % 30) as i64 * DAY);
    let mut attempts = vec![attempt(number, number)];
    // Every tenth task has an earlier attempt whose id lies anywhere behind.
    if number.is_multiple_of(10) {
        attempts.insert(
            0,
            Attempt {
                online_id: format!("{}x", request(number / 2 + MILLION / 2)).into(),
                ..attempt(number, 0)
            },
        );
    }
    Task {
        task_id: format!("task-{number:032}").into(),
        user_id: (number % 100_000) as i64 + 1,
        app_name: format!("fal-ai/model-{}", number % 50).into(),
        attempts,
        key_id: format!("k{}", number % 10).into(),
        status: TaskStatus::Completed,
        money: 20,
        refunded: 0,
        held: 0,
        reported_cost_nano_usd: Some(25_000_000),
        billed_cost_nano_usd: None,
        create_time,
        complete_time: Some(create_time),
        live_lease: false,
    }
}

fn attempt(number: u64, id: u64) -> Attempt {
    Attempt { online_id: request(id).into(), key_id: format!("k{}", number % 10).into() }
}

fn event(number: u64) -> Event {
    Event {
        account_id: (number % 10) as i64,
        request_id: request(number).into(),
        endpoint_id: format!("fal-ai/model-{}", number % 50).into(),
        time: Micros((number % 30) as i64 * DAY + 1),
        // One in ten thousand is not what was reported.
        cost_nano_usd: if number.is_multiple_of(10_000) { 30_000_000 } else { 25_000_000 },
        units_nano: Some(1_000_000_000),
    }
}

fn account(account_id: i64) -> Account {
    Account {
        account_id,
        name: "".into(),
        workspace: format!("w{account_id}").into(),
        key_ids: vec![format!("k{account_id}").into()],
        selected: true,
        balance: None,
        fetch: Fetch::Complete,
        usage: None,
        unreadable: vec![],
    }
}

#[test]
#[ignore = "takes seconds in a release build, minutes in a debug one"]
fn a_million_tasks_against_a_million_events() {
    let thresholds = Thresholds::default();
    let scope = Scope::of(Micros(0), Micros(30 * DAY), Micros(60 * DAY), &thresholds);
    let accounts = (0..10).map(account).collect();
    let mut audit = Audit::new(scope, thresholds, accounts).expect("sound");
    let mut out = Counted::default();
    let start = tokio::time::Instant::now();
    let before = resident_kib();
    // Sorted already: the least request id of a task is the one it was made of.
    let mut tasks = (0..MILLION).map(task);
    let mut events = (0..MILLION).map(event);
    loop {
        match audit.need() {
            Need::Task => audit.task(tasks.next(), &mut out).expect("in order"),
            Need::Event => audit.event(events.next(), &mut out).expect("in order"),
            Need::Nothing => break,
        }
    }
    let report = audit.finish(&mut out).expect("ended");
    let (took, grown) = (start.elapsed(), resident_kib().saturating_sub(before) / 1_024);
    println!("{took:?}, {grown} MiB at most; {} findings, {} costs", out.findings, out.costs);
    println!("{} rows of layer 2, {} of layer 3", report.tasks.len(), report.users.len());
    assert_eq!(report.totals.sums.tasks, MILLION);
    assert_eq!((out.costs, report.totals.stray.requests), (MILLION, 0));
    assert!(grown < 500, "{grown} MiB");
}

/// The most memory that this process ever had resident; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
