//! Audits to print: a small one for texts that are read whole, a month of made-up traffic for the page, and an empty one.

use scrip::audit::{
    Account, Attempt, Audit, Calendar, Collected, Day, Disagreement, Event, Fetch, Finding, Micros, Need,
    Rate, Rates, Report, Scope, Task, TaskStatus, Thresholds, Usage, UsageRow, UserDay, UserTasks,
};

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// 2026-02-01, at midnight.
const FIRST_DAY: i32 = 20_485;
const START: Micros = Micros(FIRST_DAY as i64 * DAY);

pub(crate) struct World {
    pub(crate) scope: Scope,
    pub(crate) accounts: Vec<Account>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) events: Vec<Event>,
    pub(crate) disagreements: Vec<Disagreement>,
    /// By how much each user's ledger is off, in points.
    pub(crate) off: Vec<(i64, i64)>,
}

impl World {
    /// Nothing at all, for so many days.
    pub(crate) fn empty(days: i64) -> Self {
        let end = START.plus(days * DAY);
        let mut scope = Scope::of(START, end, end.plus(2 * HOUR), &Thresholds::default());
        scope.rates = Rates {
            points_per_usd: Rate::new(400, 1).expect("positive"),
            fen_per_usd: Rate::new(71_823, 100).expect("positive"),
        };
        World { scope, accounts: vec![], tasks: vec![], events: vec![], disagreements: vec![], off: vec![] }
    }

    /// Runs the audit; the ledger is what the tasks say, but for what is off.
    pub(crate) fn audit(mut self) -> (Report, Vec<Finding>) {
        self.tasks.sort_by(|one, other| one.sort_key().cmp(&other.sort_key()));
        self.events.sort_by(|one, other| one.request_id.cmp(&other.request_id));
        let mut out = Collected::default();
        let (users, days) = self.ledger();
        let mut audit = Audit::new(self.scope, Thresholds::default(), self.accounts).expect("sound");
        users.iter().for_each(|row| audit.user_tasks(row).expect("in order"));
        days.iter().for_each(|row| audit.user_day(row, &mut out).expect("in order"));
        self.disagreements.iter().for_each(|row| audit.disagreement(row, &mut out));
        let (mut tasks, mut events) = (self.tasks.into_iter(), self.events.into_iter());
        loop {
            match audit.need() {
                Need::Task => audit.task(tasks.next(), &mut out).expect("in order"),
                Need::Event => audit.event(events.next(), &mut out).expect("in order"),
                Need::Nothing => break,
            }
        }
        (audit.finish(&mut out).expect("ended"), out.findings)
    }

    fn ledger(&self) -> (Vec<UserTasks>, Vec<UserDay>) {
        let mut users = std::collections::BTreeMap::<i64, UserTasks>::new();
        let mut days = std::collections::BTreeMap::<(i64, Day), UserDay>::new();
        for task in &self.tasks {
            let user_id = task.user_id;
            let empty = UserTasks { user_id, points_consumed: 0, cash_consumed: 0 };
            let user = users.entry(user_id).or_insert(empty);
            let cash = if task.user_id % 2 == 0 { task.money / 5 } else { 0 };
            user.points_consumed += task.money - cash;
            user.cash_consumed += cash;
            let day = self.scope.calendar.day_of(task.create_time);
            let empty = UserDay { user_id, day, consumed: 0, refunded: 0, credited: 0 };
            let row = days.entry((user_id, day)).or_insert(empty);
            row.consumed += task.money;
            row.refunded += task.refunded;
        }
        for row in days.values_mut() {
            row.credited = (row.consumed / 500 + 1) * 500;
        }
        for (user_id, off) in &self.off {
            users.get_mut(user_id).expect("a user").points_consumed += off;
        }
        (users.into_values().collect(), days.into_values().collect())
    }

    pub(crate) fn account(
        &mut self,
        account_id: i64,
        name: &str,
        workspace: &str,
        balance_nano_usd: Option<i64>,
    ) -> &mut Account {
        self.accounts.push(Account {
            account_id,
            name: name.into(),
            workspace: workspace.into(),
            key_ids: vec![format!("key-{account_id}").into()],
            selected: true,
            balance: balance_nano_usd.map(|balance| (balance, self.scope.now)),
            fetch: Fetch::Complete,
            usage: None,
            unreadable: vec![],
        });
        self.accounts.last_mut().expect("just pushed")
    }

    /// A completed task, reported as billed.
    pub(crate) fn task(
        &mut self,
        name: &str,
        user_id: i64,
        model: &str,
        account_id: i64,
        (money, cost): (i64, i64),
    ) -> &mut Task {
        let create_time = self.scope.start.plus(HOUR + self.tasks.len() as i64 * MINUTE);
        self.tasks.push(Task {
            task_id: format!("task-{name}").into(),
            user_id,
            app_name: model.into(),
            attempts: vec![Attempt {
                online_id: format!("req-{name}").into(),
                key_id: format!("key-{account_id}").into(),
            }],
            key_id: format!("key-{account_id}").into(),
            status: TaskStatus::Completed,
            money,
            refunded: 0,
            held: 0,
            reported_cost_nano_usd: Some(cost),
            billed_cost_nano_usd: None,
            create_time,
            complete_time: Some(create_time.plus(MINUTE)),
            live_lease: false,
        });
        self.tasks.last_mut().expect("just pushed")
    }

    pub(crate) fn event(&mut self, name: &str, account_id: i64, model: &str, cost: i64, time: Micros) {
        self.events.push(Event {
            account_id,
            request_id: format!("req-{name}").into(),
            endpoint_id: model.into(),
            time,
            cost_nano_usd: cost,
            units_nano: Some(1_500_000_000),
        });
    }

    /// A task and the event that bills it.
    pub(crate) fn billed(
        &mut self,
        name: &str,
        user_id: i64,
        model: &str,
        account_id: i64,
        (money, cost): (i64, i64),
    ) -> &mut Task {
        let time = self.scope.start.plus(HOUR + self.tasks.len() as i64 * MINUTE);
        self.event(name, account_id, model, cost, time);
        self.task(name, user_id, model, account_id, (money, cost))
    }
}

const DEV: &str = "fal-ai/flux/dev";
const SCHNELL: &str = "fal-ai/flux/schnell";
const VIDEO: &str = "fal-ai/kling-video/v2.1/master/image-to-video";

/// A day on which most rules fire.
pub(crate) fn small() -> World {
    let mut world = World::empty(1);
    let usage = Usage {
        start: world.scope.start,
        end: world.scope.end,
        rows: vec![
            UsageRow {
                endpoint_id: DEV.into(),
                unit: "megapixel".into(),
                units_nano: 12_500_000_000,
                cost_nano_usd: 350_240_000,
            },
            UsageRow {
                endpoint_id: VIDEO.into(),
                unit: "second".into(),
                units_nano: 1_240_000_000_000,
                cost_nano_usd: 1_730_000_000,
            },
            UsageRow {
                endpoint_id: "fal-ai/never-asked".into(),
                unit: "image".into(),
                units_nano: 3_000_000_000,
                cost_nano_usd: 75_000_000,
            },
        ],
    };
    world.account(1, "main", "acme", Some(38_800_000_000)).usage = Some(usage);
    world.account(2, "spare", "acme", None).fetch = Fetch::NotAsked;
    world.account(3, "备用账号", "上海工作室", Some(439_999_999)).fetch = Fetch::Complete;
    world.account(4, "broken", "", None).fetch = Fetch::Incomplete;
    world.billed("good", 7, DEV, 1, (120, 90_240_000));
    world.billed("misreported", 7, DEV, 1, (100, 100_000_000)).reported_cost_nano_usd = Some(150_000_000);
    world.billed("cheap", 8, VIDEO, 1, (1_000, 1_400_000_001));
    world.billed("refunded", 8, VIDEO, 2, (400, 330_000_000)).refunded = 400;
    // Its key is the spare account's; its event came through the account that stands for the workspace.
    world.events.last_mut().expect("just pushed").account_id = 1;
    let free = world.billed("free", 9, DEV, 1, (0, 60_000_000));
    free.status = TaskStatus::Failed;
    let stuck = world.task("stuck", 9, SCHNELL, 3, (250, 0));
    (stuck.status, stuck.reported_cost_nano_usd, stuck.complete_time) = (TaskStatus::Processing, None, None);
    world.task("unbilled", 10, SCHNELL, 3, (12_345, 3_000_000));
    let open = world.billed("open", 10, DEV, 3, (80, 25_000_000));
    (open.status, open.complete_time) = (TaskStatus::Pending, None);
    world.task("unknown", 11, SCHNELL, 4, (30, 2_000_000));
    let late = world.scope.start.plus(6 * HOUR);
    world.event("nobodys", 1, DEV, 100_000_000, late);
    world.event("=HYPERLINK(\"http://evil\")", 3, "<script>alert(1)</script>", 7_000_000, late);
    world.off = vec![(8, -50)];
    world.disagreements.push(Disagreement {
        user_id: Some(8),
        table: "ts_users".into(),
        key: "user 8".into(),
        what: "points_balance".into(),
        expected: "4,950".into(),
        found: "5000".into(),
    });
    // The day is over for so long that nothing is pending.
    world.scope.now = world.scope.end.plus(3 * DAY);
    world.scope.events_end = world.scope.now;
    world
}

/// A month of traffic from a seed, in the days of Shanghai.
pub(crate) fn month() -> World {
    let mut world = World::empty(28);
    world.scope.start = world.scope.start.plus(-8 * HOUR);
    world.scope.end = world.scope.end.plus(-8 * HOUR);
    world.scope.events_start = world.scope.start;
    world.scope.calendar = Calendar::ahead_of_utc(8 * 3_600);
    world.account(1, "main", "acme-studio", Some(412_384_000_000));
    world.account(2, "spare", "acme-studio", None).fetch = Fetch::NotAsked;
    world.account(3, "video", "acme-video", Some(38_800_000_000));
    world.account(4, "shanghai", "上海工作室", Some(640_000_000));
    world.account(5, "trial", "trial", None).fetch = Fetch::Incomplete;
    let models: [(&str, i64, i64); 9] = [
        (DEV, 25, 25_000_000),
        (SCHNELL, 4, 3_000_000),
        (VIDEO, 1_100, 1_400_000_000),
        ("fal-ai/flux-pro/v1.1-ultra", 60, 60_000_000),
        ("fal-ai/recraft-v3", 40, 40_000_000),
        ("fal-ai/minimax/hailuo-02/standard/image-to-video", 180, 270_000_000),
        ("fal-ai/whisper", 2, 1_110_000),
        ("fal-ai/ideogram/v3", 55, 60_000_000),
        ("fal-ai/clarity-upscaler", 30, 24_700_000),
    ];
    let mut seed = 20_260_201_u64;
    let mut next = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for number in 0..2_400_u64 {
        let day = next(28) as i64;
        // Sundays are quiet, and one day nothing ran.
        if day == 17 || (day % 7 == 0 && next(3) > 0) {
            continue;
        }
        let (model, price, cost) = models[(next(9) * next(9) / 8) as usize];
        let account = [1, 1, 1, 3, 3, 4, 5][next(7) as usize];
        let name = format!("{number:05}");
        let money = price * (2 + next(3) as i64);
        let user_id = 1_000 + (next(12) * next(12)) as i64;
        world.billed(&name, user_id, model, account, (money, cost));
        let time = world.scope.start.plus(day * DAY + next(24 * 60) as i64 * MINUTE);
        let (task, event) =
            (world.tasks.last_mut().expect("pushed"), world.events.last_mut().expect("pushed"));
        (task.create_time, task.complete_time, event.time) =
            (time, Some(time.plus(MINUTE)), time.plus(MINUTE));
        match next(120) {
            0 => task.refunded = task.money,
            1 => task.reported_cost_nano_usd = Some(cost * 2),
            2 => task.status = TaskStatus::Processing,
            3 => task.money = 0,
            4 => event.request_id = format!("stray-{number}").into(),
            _ => {}
        }
    }
    let off = world.tasks[5].user_id;
    world.off = vec![(off, 40)];
    world
}
