//! A whole stack in one process: a SQLite database with a clock set by hand, the engine, the fake fal, and short ways
//! to say what happened on a day.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use scrip::audit::Finding;
use scrip::clock::{Clock, System};
use scrip::engine::{Engine, Options as EngineOptions};
use scrip::fal::fake::{Event, FakeFal, Workspace};
use scrip::fal::{Client, Config, Retry, Timeouts};
use scrip::keypool::{AllowList, Command as KeyCommand, Done, NewAccount, Purpose};
use scrip::ledger::command::{Charge, CompleteTask, Credit, FailTask, StartTask};
use scrip::ledger::{Command, Funding, Micros, Purse, Report, SourceType, Text};
use scrip::reconcile::{FindingQuery, Handle, Options, Reconciler, Run, RunState, Start, Summary};
use scrip::store::{Store, sqlite};
use scrip::vault::{FalKey, KekId, Keyring};
use uuid::Uuid;

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;
/// 2026-02-01T00:00:00Z: the day that is audited.
pub(crate) const START: i64 = 1_769_904_000 * SECOND;
pub(crate) const MODEL: &str = "fal-ai/flux/dev";

#[derive(Debug)]
pub(crate) struct Hands(AtomicI64);

impl Hands {
    pub(crate) fn set(&self, now: i64) {
        self.0.fetch_max(now, Ordering::SeqCst);
    }

    pub(crate) fn tick(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<Hands>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Engine,
    pub(crate) fal: FakeFal,
    pub(crate) folder: tempfile::TempDir,
    actor: Text,
}

impl World {
    /// Some days before the audited one, and nothing there.
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Hands(AtomicI64::new(START - 6 * DAY)));
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
        let options = sqlite::Options::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let store = sqlite::open(&url, options).await.expect("a database");
        let keyring = Arc::new(Keyring::generate(KekId::new("k1").expect("an id"), [7; 32]));
        let options =
            EngineOptions { keyring, sweep_every: Duration::from_secs(3_600), ..EngineOptions::default() };
        let engine = Engine::start(&*store, System::ids(), options);
        let fal = FakeFal::start().await.expect("a fake fal");
        Self { clock, store, engine, fal, folder, actor: Text::from("test") }
    }

    /// An account of a workspace that the fake knows by the same name, with an admin key.
    pub(crate) async fn account(&self, name: &str, workspace: &str) -> i64 {
        let key = format!("key-{name}:secret");
        let mut world = self.fal.world();
        let known = match world.workspace(workspace) {
            Some(known) => known.clone(),
            None => Workspace::new(workspace, "50"),
        };
        world.add(known.key(&key));
        drop(world);
        self.stored(name, workspace, None).await
    }

    /// The same without telling the fake.
    pub(crate) async fn stored(&self, name: &str, workspace: &str, billing_key: Option<&str>) -> i64 {
        let handle = self.engine.handle();
        let seal = |key: &str, purpose| {
            handle.seal(FalKey::new(key.to_owned()).expect("a key"), purpose).expect("sealed")
        };
        let new = NewAccount {
            name: name.into(),
            key: seal(&format!("key-{name}:secret"), Purpose::Lease),
            billing_key: billing_key.map(|key| seal(key, Purpose::Billing)),
            workspace: workspace.into(),
            max_concurrency: 10,
            priority: 0,
            weight: 100,
            allowed_apps: AllowList::default(),
            remark: Text::default(),
            balance_nano_usd: None,
        };
        let answer = handle.keys(KeyCommand::Create(new), "", &self.actor, None).await.expect("an account");
        let Done::Account(described) = answer.done else { panic!("an account is answered") };
        described.account.account_id
    }

    pub(crate) async fn submit(&self, command: Command, request_id: &str) {
        self.engine.handle().submit(command, request_id, &self.actor, None).await.expect("accepted");
    }

    pub(crate) async fn credit(&self, user_id: i64, amount: i64) {
        let credit = Credit {
            user_id,
            amount,
            purse: Purse::Points,
            source_type: SourceType::Recharge,
            order_id: Text::default(),
            title: Text::default(),
            pay_type: 0,
        };
        self.submit(Command::Credit(credit), &format!("credit-{user_id}-{amount}")).await;
    }

    /// A task that was charged and started at this hour of the day, on the key of the account of that name.
    pub(crate) async fn started(&self, id: &str, user_id: i64, points: i64, (hour, account): (i64, &str)) {
        self.started_with(id, user_id, points, (hour, account), MODEL).await;
    }

    pub(crate) async fn started_with(
        &self,
        id: &str,
        user_id: i64,
        points: i64,
        (hour, account): (i64, &str),
        model: &str,
    ) {
        self.clock.set(START + hour * HOUR);
        let charge = Charge {
            user_id,
            task_id: id.into(),
            amount: points,
            app_name: model.into(),
            task_type: Text::default(),
            title: Text::default(),
            input_params: Text::default(),
            funding: Funding::PointsThenCash,
            deployment_uuid: Text::default(),
            pay_type: 0,
            select_key: None,
        };
        self.submit(Command::Charge(charge), "").await;
        let start = StartTask {
            user_id,
            task_id: id.into(),
            online_task_id: format!("req-{id}").into(),
            key_id: format!("key-{account}").into(),
            lease_id: Text::default(),
        };
        self.submit(Command::StartTask(start), "").await;
    }

    pub(crate) async fn completed(&self, id: &str, user_id: i64, reported: Option<i64>) {
        let complete = CompleteTask {
            user_id,
            task_id: id.into(),
            online_task_id: Text::default(),
            output_params: Text::default(),
            cost_nano_usd: reported,
            billable_units: Text::default(),
            capture_amount: None,
            lease_id: Text::default(),
        };
        self.submit(Command::CompleteTask(complete), "").await;
    }

    pub(crate) async fn failed(&self, id: &str, user_id: i64) {
        let fail = FailTask {
            user_id,
            task_id: id.into(),
            online_task_id: Text::default(),
            error: "it broke".into(),
            no_refund: false,
            lease_id: Text::default(),
            report: Box::new(Report::default()),
        };
        self.submit(Command::FailTask(fail), "").await;
    }

    /// A task as it should be: charged, done, reported and billed at 0.02 USD.
    pub(crate) async fn sound(&self, id: &str, user_id: i64, (hour, account, workspace): (i64, &str, &str)) {
        self.started(id, user_id, 10, (hour, account)).await;
        self.completed(id, user_id, Some(20_000_000)).await;
        self.bill(workspace, id, hour, "0.02");
    }

    /// fal bills the task's request a minute after the hour.
    pub(crate) fn bill(&self, workspace: &str, id: &str, hour: i64, cost: &str) {
        self.event(
            workspace,
            Event::new(&format!("req-{id}"), MODEL, START + hour * HOUR + 60 * SECOND).price(cost),
        );
    }

    pub(crate) fn event(&self, workspace: &str, event: Event) {
        self.fal.world().workspace(workspace).expect("a workspace").bill(event);
    }

    /// Two days after: the lag is over, and what is stuck has been for a day.
    pub(crate) fn later(&self) {
        self.clock.set(START + 3 * DAY);
    }

    /// A client that loses no time.
    pub(crate) fn client(&self) -> Client {
        let config = Config {
            base_url: self.fal.base_url(),
            allow_loopback: true,
            timeouts: Timeouts {
                connect: Duration::from_secs(20),
                read: Duration::from_millis(700),
                total: Duration::from_secs(20),
            },
            retry: Retry { attempts: 2, base: Duration::from_millis(1), ..Retry::default() },
            most_bytes: 1 << 20,
            ..Config::default()
        };
        Client::new(config, System::clock()).expect("a client")
    }

    pub(crate) fn reconciler(&self) -> Reconciler {
        self.reconciler_with(Options::default())
    }

    /// One workspace at a time: the fake's planned faults then meet the one that comes first.
    pub(crate) fn reconciler_with(&self, options: Options) -> Reconciler {
        self.reconciler_on(&*self.store, options)
    }

    /// Another way into the same database.
    pub(crate) fn reconciler_on(&self, store: &dyn Store, options: Options) -> Reconciler {
        let options = Options { parallel: 1, poll_every: Duration::from_millis(20), ..options };
        let holder = Uuid::from_bytes(System::secret_bytes());
        Reconciler::start(store, self.engine.handle(), self.client(), holder, options)
            .expect("a store of runs")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("scrip.db").display())
    }

    /// Reconciles the day, in a process of its own.
    pub(crate) async fn reconcile(&self, apply_costs: bool) -> Outcome {
        let reconciler = self.reconciler();
        let outcome = reconcile(&reconciler.handle(), Start { apply_costs, ..day() }).await;
        reconciler.drain().await;
        outcome
    }

    pub(crate) async fn billed_cost(&self, id: &str) -> Option<i64> {
        let record = self.engine.handle().task(id).await.expect("a read").expect("a task");
        record.task.billed_cost_nano_usd
    }
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The cursors that pages of events were asked for with.
pub(crate) fn events_asked(world: &World) -> Vec<Option<String>> {
    let seen = world.fal.seen();
    let events = seen.iter().filter(|seen| seen.path.ends_with("billing-events"));
    events
        .map(|seen| seen.params.iter().find(|(name, _)| name == "cursor").map(|(_, at)| at.clone()))
        .collect()
}

/// The audited day.
pub(crate) fn day() -> Start {
    Start { start: Some(Micros(START)), end: Some(Micros(START + DAY)), ..Start::default() }
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) findings: Vec<Finding>,
    pub(crate) summary: Option<Summary>,
}

impl Outcome {
    pub(crate) fn rules(&self) -> Vec<&'static str> {
        self.findings.iter().map(|finding| finding.rule.as_str()).collect()
    }

    /// Source, reason and status of what could not be fetched, by account.
    pub(crate) fn failures(&self) -> Vec<(i64, &'static str, scrip::reconcile::Reason, u16)> {
        let summary = self.summary.as_ref().expect("a summary");
        let failures = summary.failures.iter();
        failures.map(|why| (why.account_id, why.source.as_str(), why.reason, why.http_status)).collect()
    }
}

/// Begins a run and waits until it is over.
pub(crate) async fn reconcile(handle: &Handle, start: Start) -> Outcome {
    let started = handle.start(&start, &Text::from("test")).await.expect("a run");
    over(handle, started.run.id).await
}

pub(crate) async fn over(handle: &Handle, run_id: i64) -> Outcome {
    let mut watch = handle.watch(run_id);
    let watching = async { while watch.next().await.expect("progress").is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), watching).await.expect("the run comes to its end");
    let run = handle.get(run_id).await.expect("a run");
    assert_ne!(run.state, RunState::Running);
    let query = FindingQuery { run_id, ..FindingQuery::default() };
    let rows = handle.findings(&query, None, 1_000).await.expect("findings");
    let summary = handle.summary(&run).await.expect("a read");
    Outcome { run, findings: rows.into_iter().map(|row| row.finding).collect(), summary }
}
