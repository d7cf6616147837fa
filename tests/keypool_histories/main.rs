//! Property tests of the key pool: no interleaving of select, renew, start, release, expiry, crash and administration
//! exceeds a limit, gives a task two leases, shortens a cooldown, or leaks a slot.
//!
//! Three replicas each propose from a view of their own that is refreshed when it pleases chance, over few accounts
//! with few slots and few tasks, so that they meet. Runners report twice, late, after expiry, for leases that others
//! took over, or never; the clock stands, jumps, and runs back.

#![allow(unreachable_pub, dead_code, reason = "shared with the other tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use keypool::{
    Account, AccountId, AccountStatus, AllowList, Ask, LeaseOutcome, LeaseState, NoKey, Plan, Pool, Report,
    Settings, View,
};
use ledger::{Change, Micros, Text};
use proptest::prelude::*;
use scrip::{keypool, ledger};

#[path = "../support/keypool_world.rs"]
mod world;
use world::{S, World, account};

/// What may happen next. Numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Select { replica: usize, task: u8, runner: u8, app: bool, ttl: i64, resume: bool, random: u64 },
    Renew { lease: usize, ttl: i64 },
    Start { lease: usize },
    Release { lease: usize, report: Report, random: u64 },
    Pass { micros: i64 },
    Refresh { replica: usize },
    Revise { account: AccountId, limit: u32, status: AccountStatus },
    Move { account: AccountId, workspace: AccountId },
    Balance { account: AccountId, balance: i64 },
}

fn report() -> impl Strategy<Value = Report> {
    let status = prop::option::of(prop::sample::select(vec![200, 401, 403, 422, 429, 500, 503]));
    let claim = prop::option::of(prop::sample::select(LeaseOutcome::ALL.to_vec()));
    (claim, status, prop::option::of(-S..100 * S), prop::option::of(0..100 * S)).prop_map(
        |(outcome, http_status, retry_after_micros, latency_micros)| Report {
            outcome,
            http_status,
            error_message: "".into(),
            retry_after_micros,
            latency_micros,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let account = 1..=5_i64;
    let status = prop::sample::select(AccountStatus::ALL.to_vec());
    prop_oneof![
        12 => (0..3_usize, 0..9_u8, 0..3_u8, any::<bool>(), 1..90_i64, any::<bool>(), any::<u64>()).prop_map(
            |(replica, task, runner, app, ttl, resume, random)| Step::Select {
                replica, task, runner, app, ttl, resume, random
            }
        ),
        3 => (0..60_usize, 1..90_i64).prop_map(|(lease, ttl)| Step::Renew { lease, ttl }),
        1 => (0..60_usize).prop_map(|lease| Step::Start { lease }),
        8 => (0..60_usize, report(), any::<u64>())
            .prop_map(|(lease, report, random)| Step::Release { lease, report, random }),
        6 => (-20 * S..100 * S).prop_map(|micros| Step::Pass { micros }),
        6 => (0..3_usize).prop_map(|replica| Step::Refresh { replica }),
        1 => (account.clone(), 0..4_u32, status)
            .prop_map(|(account, limit, status)| Step::Revise { account, limit, status }),
        1 => (account.clone(), account.clone())
            .prop_map(|(account, workspace)| Step::Move { account, workspace }),
        1 => (account, -5..50_i64).prop_map(|(account, balance)| Step::Balance { account, balance }),
    ]
}

/// A pool, its replicas, and all leases ever given, in order.
struct Fleet {
    world: World,
    now: Micros,
    settings: Settings,
    views: Vec<View>,
    given: Vec<Text>,
}

impl Fleet {
    fn new() -> Self {
        let mut world = World::default();
        world.add(account(1, 1));
        world.add(account(2, 2));
        world.add(Account { priority: 1, ..account(3, 3) });
        // Two keys of one workspace, one of them for one model alone.
        world.add(account(4, 2));
        let only = AllowList::new(vec!["fal-ai/flux/*".into()]);
        world.add(Account { workspace: "ws-4".into(), allowed_apps: only, ..account(5, 3) });
        world.workspaces.entry("ws-5".into()).or_insert_with(|| keypool::Workspace::new("ws-5".into()));
        let settings = Settings::default();
        let views = vec![View::new(settings); 3];
        Self { world, now: Micros(1_760_000_000_000_000), settings, views, given: Vec::new() }
    }

    /// Decides a batch of one on the rows locked for it, writes the plan, and checks all that must hold.
    fn decide<T>(
        &mut self,
        rows: (&[AccountId], &[&str], &[&str]),
        decide: impl FnOnce(&mut Pool<'_>) -> T,
    ) -> Result<T, TestCaseError> {
        let snapshot = self.world.snapshot(rows.0, rows.1, rows.2, self.now);
        let mut pool = Pool::new(snapshot, self.views[0].peers(), &self.settings);
        let outcome = decide(&mut pool);
        let plan = pool.into_plan();
        let before = self.world.clone();
        self.world.apply(&plan);
        self.check(&before, &plan)?;
        Ok(outcome)
    }

    fn check(&self, before: &World, plan: &Plan) -> Result<(), TestCaseError> {
        let wrong = self.world.wrong();
        prop_assert!(wrong.is_empty(), "{:#?}", wrong);
        for (change, lease) in &plan.leases {
            let workspace = &self.world.accounts[&lease.account_id].workspace;
            let accounts = self.world.accounts.values().filter(|account| account.workspace == *workspace);
            if *change == Change::Insert && lease.is_open() {
                let (open, limit) = (self.world.open(workspace), keypool::workspace::limit_of(accounts));
                prop_assert!(open <= limit, "{} of {} slots of {}", open, limit, workspace);
                let newest = before.newest(&lease.task_id).map_or(0, |newest| newest.fence);
                prop_assert_eq!(lease.fence, newest + 1);
            }
            if let Some(stored) = before.leases.get(&lease.lease_id) {
                prop_assert!(stored.is_open(), "a closed lease changed: {:?}", lease);
                prop_assert!(lease.expire_time >= stored.expire_time, "a lease was shortened");
            }
        }
        Ok(())
    }

    /// No cooldown that still stands ends sooner than it did.
    fn check_cooldowns(&self, before: &World) -> Result<(), TestCaseError> {
        for (name, row) in &self.world.workspaces {
            if let (Some(was), Some(is)) = (&before.workspaces[name].circuit.out, &row.circuit.out) {
                prop_assert!(is.until >= was.until, "{}: {:?} became {:?}", name, was, is);
            }
        }
        Ok(())
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let before = self.world.clone();
        match step {
            Step::Revise { .. } | Step::Move { .. } | Step::Balance { .. } => return self.administer(step),
            Step::Select { .. } => self.select(step)?,
            Step::Renew { lease, ttl } => {
                let Some(id) = self.nth(*lease) else { return Ok(()) };
                let renewed = self.decide((&[], &[&id], &[]), |pool| pool.renew(&id, Some(ttl * S)))?;
                let state = before.leases[&id].state(self.now);
                prop_assert!(renewed.is_err() || state == LeaseState::Active, "renewed when {:?}", state);
            }
            Step::Start { lease } => {
                let Some(id) = self.nth(*lease) else { return Ok(()) };
                self.decide((&[], &[&id], &[]), |pool| pool.started(&id))?.expect("it was given");
            }
            Step::Release { lease, report, random } => {
                let Some(id) = self.nth(*lease) else { return Ok(()) };
                let released = self.decide((&[], &[&id], &[]), |pool| pool.release(&id, report, *random))?;
                let released = released.expect("it was given");
                prop_assert!(!released.lease.is_open());
                let was_live = before.leases[&id].state(self.now) == LeaseState::Active;
                prop_assert_eq!(released.replayed, !was_live);
            }
            Step::Pass { micros } => self.now = self.now.plus(*micros),
            Step::Refresh { replica } => self.world.refresh(&mut self.views[*replica], self.now),
        }
        self.check_cooldowns(&before)
    }

    fn select(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let Step::Select { replica, task, runner, app, ttl, resume, random } = step else { return Ok(()) };
        let task_id: Text = format!("task-{task}").into();
        let newest = self.world.newest(&task_id).cloned();
        let ask = Ask {
            lease_id: format!("lease-{}", self.given.len()).into(),
            app_name: if *app { "fal-ai/flux/dev".into() } else { "fal-ai/sora-2".into() },
            task_id: Arc::clone(&task_id),
            user_id: 7,
            runner_id: format!("runner-{runner}").into(),
            ttl_micros: Some(ttl * S),
            estimated_cost_nano_usd: 10,
            running_on: newest.filter(|_| *resume).map(|lease| lease.account_id),
            random: *random,
        };
        let candidates = self.views[*replica].propose(&ask.app_name, 10, *random);
        let mut locked: Vec<_> = candidates.accounts().collect();
        locked.extend(ask.running_on);
        let choose = |pool: &mut Pool<'_>| match pool.choose(&ask) {
            Ok(choice) => Ok(pool.take(&ask, choice).expect("chosen of this state")),
            Err(none) => Err(none),
        };
        match self.decide((&locked, &[], &[&task_id]), choose)? {
            Ok(lease) if lease.lease_id == ask.lease_id => {
                let account = &self.world.accounts[&lease.account_id];
                prop_assert!(account.status != AccountStatus::Disabled);
                let resumed = ask.running_on == Some(lease.account_id);
                prop_assert!(resumed || account.status == AccountStatus::Enabled);
                prop_assert!(resumed || account.allowed_apps.allows(&ask.app_name));
                self.given.push(Arc::clone(&lease.lease_id));
            }
            Ok(again) => prop_assert_eq!(&again.runner_id, &ask.runner_id),
            Err(NoKey::Refused(_)) => {}
            Err(NoKey::Unlocked(id)) => return Err(TestCaseError::fail(format!("{id} was locked"))),
        }
        Ok(())
    }

    fn administer(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let all: Vec<_> = self.world.accounts.keys().copied().collect();
        let change = |account: AccountId, world: &World, step: &Step| {
            let mut wanted = world.accounts[&account].clone();
            match step {
                Step::Revise { limit, status, .. } => {
                    (wanted.max_concurrency, wanted.status) = (*limit, *status);
                }
                Step::Move { workspace, .. } => wanted.workspace = format!("ws-{workspace}").into(),
                _ => {}
            }
            wanted
        };
        match step {
            Step::Revise { account, .. } | Step::Move { account, .. } => {
                let wanted = change(*account, &self.world, step);
                // A workspace without accounts is locked by no account: the store locks it by its name.
                let mut snapshot = self.world.snapshot(&all, &[], &[], self.now);
                for (name, row) in &self.world.workspaces {
                    if !snapshot.workspaces.iter().any(|locked| locked.workspace == *name) {
                        snapshot.workspaces.push(row.clone());
                    }
                }
                let mut pool = Pool::new(snapshot, self.views[0].peers(), &self.settings);
                pool.revise(wanted, "operator", "chance").expect("all is locked");
                self.world.apply(&pool.into_plan());
            }
            Step::Balance { account, balance } => {
                let workspace = Arc::clone(&self.world.accounts[account].workspace);
                let hear = |pool: &mut Pool<'_>| {
                    pool.hear_balance(&workspace, *account, Some(*balance), ("operator", "chance"))
                };
                self.decide((&all, &[], &[]), hear)?.expect("all is locked");
            }
            _ => {}
        }
        let wrong = self.world.wrong();
        prop_assert!(wrong.is_empty(), "{:#?}", wrong);
        Ok(())
    }

    fn nth(&self, lease: usize) -> Option<Text> {
        let from_the_newest = lease % self.given.len().max(1);
        self.given.iter().rev().nth(from_the_newest).cloned()
    }

    /// All runners are gone. Time alone brings every slot back, and every account that is enabled into use.
    fn recover(&mut self) -> Result<(), TestCaseError> {
        let all: Vec<_> = self.world.accounts.keys().copied().collect();
        self.now = Micros(1_760_000_000_000_000).plus(1_000_000 * S);
        self.decide((&all, &[], &[]), |_| ())?;
        for name in self.world.workspaces.keys() {
            prop_assert_eq!(self.world.open(name), 0, "{} leaks", name);
        }
        // One probe each, and the ramp: then each has all its slots.
        for _round in 0..2 {
            self.use_all()?;
            self.now = self.now.plus(self.settings.ramp_micros);
        }
        let used = self.use_all()?;
        for (name, used) in used {
            let accounts: Vec<_> =
                self.world.accounts.values().filter(|account| account.workspace == name).collect();
            let is_in_use = accounts.iter().any(|account| account.status == AccountStatus::Enabled);
            let limit = keypool::workspace::limit_of(accounts.iter().copied());
            prop_assert_eq!(used, if is_in_use { limit } else { 0 }, "{}", name);
        }
        Ok(())
    }

    /// Leases all that can be had, then gives it back with success; answers how much each workspace gave.
    fn use_all(&mut self) -> Result<BTreeMap<Text, u32>, TestCaseError> {
        let all: Vec<_> = self.world.accounts.keys().copied().collect();
        let mut mine = Vec::new();
        loop {
            let n = self.given.len() as u64;
            let ask = Ask {
                lease_id: format!("lease-{n}").into(),
                app_name: "fal-ai/flux/dev".into(),
                task_id: format!("last-task-{n}").into(),
                user_id: 7,
                runner_id: "".into(),
                ttl_micros: None,
                estimated_cost_nano_usd: 0,
                running_on: None,
                random: n,
            };
            let lease = self.decide((&all, &[], &[]), |pool| {
                pool.choose(&ask).ok().and_then(|choice| pool.take(&ask, choice).ok())
            })?;
            let Some(lease) = lease else { break };
            self.given.push(Arc::clone(&lease.lease_id));
            mine.push(lease);
        }
        let used = self.world.workspaces.keys().map(|name| (name.clone(), self.world.open(name))).collect();
        for lease in mine {
            let done = Report { outcome: Some(LeaseOutcome::Succeeded), ..Report::default() };
            let released =
                self.decide((&[], &[&lease.lease_id], &[]), |pool| pool.release(&lease.lease_id, &done, 0))?;
            prop_assert!(released.is_ok_and(|released| !released.replayed));
        }
        Ok(used)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_exceeds_a_limit_or_leaks_a_slot(steps in prop::collection::vec(step(), 1..150)) {
        let mut fleet = Fleet::new();
        for replica in 0..3 {
            fleet.run(&Step::Refresh { replica })?;
        }
        for step in &steps {
            fleet.run(step)?;
        }
        fleet.recover()?;
    }
}
