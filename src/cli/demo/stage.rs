//! The stage of the demo: a database with a clock that is set, an engine, a fake fal, and the day played on it.
//!
//! A step of the day has three moments: jobs are charged, each with a key; their runners start; they end, and fal bills
//! what it did. Commands of one moment go into the engine together, as they would from many callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use uuid::Uuid;

use super::plan::{Fate, Job, STEP_SECONDS};
use crate::clock::{Clock, Ids};
use crate::engine::{Engine, EngineError, Handle, Options, Wait};
use crate::fal::fake::{Event, FakeFal, Workspace};
use crate::keypool::{self, AllowList, NewAccount, Purpose};
use crate::ledger::command::{Charge, CompleteTask, Credit, FailTask, StartTask};
use crate::ledger::{
    Command, Funding, KeySelection, LeaseOutcome, Micros, Purse, Report, SourceType, Text, UserId,
};
use crate::store::Store;
use crate::vault::{FalKey, Keyring};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

/// 2025-11-11T00:00:00Z: the day that is played.
pub(super) const DAY_START: Micros = Micros(1_762_819_200 * SECOND);
pub(super) const DAY_END: Micros = Micros(DAY_START.0 + DAY);
/// When the audit looks at it: the lag is over, and what is stuck has been for a day.
const MORNING_AFTER: Micros = Micros(DAY_END.0 + DAY + 9 * 3_600 * SECOND);

/// An account of the demo.
struct Account {
    name: &'static str,
    /// As operators told; empty where nobody did.
    told: &'static str,
    /// As fal knows it.
    workspace: &'static str,
    key_id: &'static str,
    has_billing_key: bool,
    /// What it may run: no model is run by two, so that a seed decides who runs what.
    apps: &'static [&'static str],
}

const ACCOUNTS: [Account; 4] = [
    account("main", ("acme", "acme"), "acme-main", true, &["fal-ai/flux-pro/*", "fal-ai/flux/schnell"]),
    account("备用账号", ("acme", "acme"), "acme-spare", false, &["fal-ai/flux/dev"]),
    account("上海工作室", ("", "shanghai-studio"), "shanghai-1", false, &["fal-ai/sora-2/*"]),
    account("lab", ("lab", "lab"), "lab-1", false, &["fal-ai/minimax/*", "fal-ai/kokoro"]),
];

/// fal's workspaces, and their credit.
const WORKSPACES: [(&str, &str); 3] = [("acme", "412.5"), ("shanghai-studio", "88.25"), ("lab", "0.42")];

const fn account(
    name: &'static str,
    (told, workspace): (&'static str, &'static str),
    key_id: &'static str,
    has_billing_key: bool,
    apps: &'static [&'static str],
) -> Account {
    Account { name, told, workspace, key_id, has_billing_key, apps }
}

/// A clock that stands where it is set.
#[derive(Debug)]
pub(super) struct SetClock(AtomicI64);

impl SetClock {
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(DAY_START.0 - 6 * DAY))
    }

    fn set(&self, now: Micros) {
        // Never back: what was written would come after what is written next.
        self.0.fetch_max(now.0, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

/// Ids counted up from the seed: the same seed is the same day. For the demo's own database alone.
#[derive(Debug)]
pub(super) struct CountedIds {
    pub(super) seed: u64,
    pub(super) next: AtomicU64,
}

impl Ids for CountedIds {
    fn batch_id(&self) -> Uuid {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        // Spread, since lots are drawn from it as well; an odd factor keeps each number apart from every other.
        Uuid::from_u64_pair(self.seed, number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// Everything the day is played on.
pub(super) struct Stage {
    clock: Arc<SetClock>,
    engine: Engine,
    handle: Handle,
    pub(super) fal: FakeFal,
    actor: Text,
}

impl Stage {
    pub(super) fn new(
        store: &dyn Store,
        clock: Arc<SetClock>,
        ids: Arc<dyn Ids>,
        keyring: Keyring,
        fal: FakeFal,
    ) -> Self {
        // The clock jumps: what expires would be swept at moments that no seed repeats.
        let never = Duration::from_secs(24 * 3_600);
        let options = Options { keyring: Arc::new(keyring), sweep_every: never, ..Options::default() };
        let engine = Engine::start(store, ids, options);
        let handle = engine.handle();
        Self { clock, engine, handle, fal, actor: Text::from("demo") }
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) async fn end(self) {
        self.engine.drain().await;
    }

    /// fal's workspaces and the accounts in them.
    pub(super) async fn open_accounts(&self) -> Result<(), EngineError> {
        for (name, balance) in WORKSPACES {
            let mut workspace = Workspace::new(name, balance);
            for account in ACCOUNTS.iter().filter(|account| account.workspace == name) {
                let lease = secret(account.key_id);
                workspace = if account.has_billing_key {
                    workspace.plain_key(&lease).key(&secret(&billing_id(account)))
                } else {
                    workspace.key(&lease)
                };
            }
            self.fal.world().add(workspace);
        }
        for account in &ACCOUNTS {
            let seal = |key_id: &str, purpose| {
                let key = FalKey::new(secret(key_id)).map_err(|_| EngineError::Internal)?;
                self.handle.seal(key, purpose).map_err(EngineError::from)
            };
            let billing_key = match account.has_billing_key {
                true => Some(seal(&billing_id(account), Purpose::Billing)?),
                false => None,
            };
            let new = NewAccount {
                name: account.name.into(),
                key: seal(account.key_id, Purpose::Lease)?,
                billing_key,
                workspace: account.told.into(),
                max_concurrency: 200,
                priority: 0,
                weight: 100,
                allowed_apps: AllowList::new(account.apps.iter().map(|app| Text::from(*app)).collect()),
                remark: Text::default(),
                balance_nano_usd: None,
            };
            self.handle.keys(keypool::Command::Create(new), "", &self.actor, None).await?;
        }
        Ok(())
    }

    /// Gives every user points enough for so many jobs, and some of them less points and cash beside them.
    pub(super) async fn credit(
        &self,
        users: impl Iterator<Item = UserId>,
        jobs: u32,
    ) -> Result<(), EngineError> {
        // A job costs a user ten points on the average of all users; some ask for more and dearer ones.
        let more = i64::from(jobs) * 40;
        for user_id in users {
            let has_cash = user_id % 6 == 0;
            let bought = if has_cash { 1_000 } else { 20_000 + more };
            self.put_in(user_id, bought, Purse::Points, (SourceType::Recharge, "充值")).await?;
            if has_cash {
                self.put_in(user_id, 20_000 + more, Purse::Cash, (SourceType::AgentRevenue, "代理收入"))
                    .await?;
            }
        }
        Ok(())
    }

    async fn put_in(
        &self,
        user_id: UserId,
        amount: i64,
        purse: Purse,
        (source_type, title): (SourceType, &str),
    ) -> Result<(), EngineError> {
        let credit = Credit {
            user_id,
            amount,
            purse,
            source_type,
            order_id: Text::default(),
            title: title.into(),
            pay_type: 0,
        };
        let request_id = format!("{source_type}-{user_id}");
        self.handle.submit(Command::Credit(credit), &request_id, &self.actor, None).await.map(|_| ())
    }

    /// Plays all jobs, step by step; `progress` hears how many are done.
    pub(super) async fn play(
        &self,
        jobs: &[Job],
        mut progress: impl FnMut(usize),
    ) -> Result<(), EngineError> {
        let mut done = 0;
        let mut has_begun = false;
        for step in jobs.chunk_by(|one, other| begins(one) == begins(other)) {
            let Some(first) = step.first() else { continue };
            let at = begins(first);
            self.clock.set(at);
            if at >= DAY_START && !std::mem::replace(&mut has_begun, true) {
                for user_id in [102, 105, 111] {
                    self.put_in(user_id, 3_000, Purse::Points, (SourceType::Gift, "新春礼物")).await?;
                }
            }
            let charged = try_join_all(step.iter().map(|job| self.charge(job))).await?;
            self.clock.set(at.plus(2 * SECOND));
            let running = step.iter().zip(&charged);
            try_join_all(running.clone().map(|(job, lease)| self.start(job, lease))).await?;
            self.clock.set(at.plus(40 * SECOND));
            try_join_all(running.clone().map(|(job, lease)| self.finish(job, lease))).await?;
            for (job, lease) in running {
                self.bill(job, lease, at.plus(42 * SECOND));
            }
            done += step.len();
            progress(done);
        }
        self.stray();
        self.clock.set(MORNING_AFTER);
        Ok(())
    }

    async fn charge(&self, job: &Job) -> Result<Lease, EngineError> {
        let selection = KeySelection {
            runner_id: "runner-1".into(),
            estimated_cost_nano_usd: Some(job.cost_nano_usd()),
            ..KeySelection::default()
        };
        let charge = Command::Charge(Charge {
            user_id: job.user_id,
            task_id: job.task_id.as_str().into(),
            amount: job.points,
            app_name: job.model.name.into(),
            task_type: Text::default(),
            title: Text::default(),
            input_params: Text::default(),
            funding: Funding::PointsThenCash,
            deployment_uuid: Text::default(),
            pay_type: 0,
            select_key: Some(Box::new(selection)),
        });
        let answer = self.handle.submit_waiting(charge, "", (&self.actor, None), Wait::default()).await?;
        let lease = answer.lease.ok_or(EngineError::Internal)?.lease;
        Ok(Lease { lease_id: lease.lease_id, key_id: lease.key_id })
    }

    async fn start(&self, job: &Job, lease: &Lease) -> Result<(), EngineError> {
        self.submit(Command::StartTask(StartTask {
            user_id: job.user_id,
            task_id: job.task_id.as_str().into(),
            online_task_id: job.request_id.as_str().into(),
            key_id: Text::default(),
            lease_id: Text::clone(&lease.lease_id),
        }))
        .await
    }

    async fn finish(&self, job: &Job, lease: &Lease) -> Result<(), EngineError> {
        let (user_id, task_id) = (job.user_id, Text::from(job.task_id.as_str()));
        let lease_id = Text::clone(&lease.lease_id);
        let online_task_id = Text::from(job.request_id.as_str());
        match job.fate {
            Fate::NeverSettled | Fate::Stuck => Ok(()),
            Fate::Fails | Fate::FailsYetBilled => {
                let report = Report {
                    outcome: Some(LeaseOutcome::CallerError),
                    http_status: Some(422),
                    error_message: "content policy".into(),
                    ..Report::default()
                };
                self.submit(Command::FailTask(FailTask {
                    user_id,
                    task_id,
                    online_task_id,
                    error: "the prompt was refused".into(),
                    no_refund: false,
                    lease_id,
                    report: Box::new(report),
                }))
                .await
            }
            Fate::Completes | Fate::Free | Fate::Misreported | Fate::TooCheap | Fate::Unbilled => {
                let cost = match job.fate {
                    Fate::Misreported => job.cost_nano_usd() / 2,
                    _ => job.cost_nano_usd(),
                };
                self.submit(Command::CompleteTask(CompleteTask {
                    user_id,
                    task_id,
                    online_task_id,
                    output_params: Text::default(),
                    cost_nano_usd: Some(cost),
                    billable_units: job.units().into(),
                    capture_amount: None,
                    lease_id,
                }))
                .await
            }
        }
    }

    async fn submit(&self, command: Command) -> Result<(), EngineError> {
        self.handle.submit(command, "", &self.actor, None).await.map(|_| ())
    }

    fn bill(&self, job: &Job, lease: &Lease, at: Micros) {
        let account = ACCOUNTS.iter().find(|account| account.key_id == &*lease.key_id);
        let Some(account) = account.filter(|_| job.fate.is_billed()) else { return };
        let event = Event::new(&job.request_id, job.model.name, at.0)
            .units(&job.units(), job.model.unit)
            .price(job.model.price)
            .by_key(account.key_id);
        if let Some(workspace) = self.fal.world().workspace(account.workspace) {
            workspace.bill(event);
        }
    }

    /// What fal bills that nobody here asked for: a request, and usage that no request explains.
    fn stray(&self) {
        let noon = DAY_START.0 + DAY / 2;
        let mut world = self.fal.world();
        if let Some(workspace) = world.workspace("shanghai-studio") {
            let event = Event::new("req-nobodys", "fal-ai/sora-2/image-to-video", noon);
            workspace.bill(event.units("8", "seconds").price("0.1").by_key("shanghai-1"));
        }
        if let Some(workspace) = world.workspace("acme").cloned() {
            let usage =
                Event::new("usage", "fal-ai/flux-pro/v1.1", noon).units("9", "megapixels").price("0.04");
            world.add(workspace.unexplained(usage));
        }
    }
}

/// A lease, as much of it as its runner needs.
struct Lease {
    lease_id: Text,
    key_id: Text,
}

fn begins(job: &Job) -> Micros {
    let day = DAY_START.0 - i64::from(job.days_before) * DAY;
    Micros(day + i64::from(job.step) * i64::from(STEP_SECONDS) * SECOND)
}

fn billing_id(account: &Account) -> String {
    format!("{}-billing", account.key_id)
}

/// A key of the fake fal: it opens nothing elsewhere.
fn secret(key_id: &str) -> String {
    format!("{key_id}:demo-secret")
}
