//! scrip's own policy: `scrip::keypool` as the service will run it, with a store in memory.
//!
//! Each replica has a cached view of its own, read anew once a second; every decision is made on the shared rows, as
//! under their locks, and the replica that decided observes what it found.

use std::collections::BTreeMap;
use std::sync::Arc;

use scrip::keypool::{
    Account, AccountStatus, AllowList, Ask, Circuit, Lease, Peers, Plan, Pool, Report, Seen, Settings,
    Snapshot, View, Workspace,
};
use scrip::ledger::{Micros, Text};

use super::policy::{Grant, Policy, Rotation, Truth};
use super::random::Random;
use super::scenario::S;
use super::upstream::{Answer, Job, Upstream};

/// How often a selection proposes again after all its candidates were found taken.
const ROUNDS: usize = 3;
/// How often the accounts' balances are asked for.
const BALANCES: i64 = 60 * S;
const APP: &str = "fal-ai/flux/dev";

/// An account, alone in its workspace, with its open leases.
struct Row {
    account: Account,
    workspace: Workspace,
    /// The number in each one's id, when it ends, and the lease.
    open: Vec<(u64, Micros, Arc<Lease>)>,
    /// No open lease ends sooner.
    soonest: Micros,
}

impl Row {
    /// The slots in use: open leases, without those whose time has passed.
    fn in_flight(&self, now: Micros) -> u32 {
        if now < self.soonest {
            return self.open.len() as u32;
        }
        self.open.iter().filter(|(_, expire_time, _)| *expire_time > now).count() as u32
    }

    /// Writes a lease.
    fn put(&mut self, lease: &Arc<Lease>) {
        let number = lease.lease_id.parse().expect("named by ask");
        self.open.retain(|(open, ..)| *open != number);
        if lease.is_open() {
            self.open.push((number, lease.expire_time, Arc::clone(lease)));
        }
        let ends = self.open.iter().map(|(_, expire_time, _)| *expire_time);
        self.soonest = ends.min().unwrap_or(Micros(i64::MAX));
    }

    fn seen(&self, now: Micros) -> Seen<'_> {
        Seen {
            workspace: &self.workspace,
            accounts: std::slice::from_ref(&self.account),
            in_flight: self.in_flight(now),
            committed_nano_usd: 0,
        }
    }

    fn is_out(&self) -> bool {
        self.account.key.out.is_some() || self.workspace.circuit.out.is_some()
    }
}

/// The store, and the replicas' views.
pub struct Leased {
    settings: Settings,
    rows: Vec<Row>,
    views: Vec<View>,
    /// Closed leases whose runner may still report, and those of tasks that try again.
    closed: BTreeMap<Text, Arc<Lease>>,
    newest: BTreeMap<u64, Arc<Lease>>,
    ttl: i64,
    random: Random,
    leases: u64,
    runner: Text,
    app: Text,
    /// The most open leases an account ever had over its limit.
    pub violations: u64,
}

impl Leased {
    pub fn new(upstream: &Upstream) -> Self {
        let settings = Settings::default();
        let rows = upstream.accounts.iter().enumerate().zip(1..).map(|((at, account), account_id)| {
            let name: Text = format!("ws-{account_id}").into();
            Row {
                account: Account {
                    account_id,
                    name: Arc::clone(&name),
                    workspace: Arc::clone(&name),
                    key_id: Arc::clone(&name),
                    billing_key_id: None,
                    status: AccountStatus::Enabled,
                    max_concurrency: account.limit,
                    priority: 0,
                    weight: 100,
                    allowed_apps: AllowList::default(),
                    remark: "".into(),
                    use_cnt: 0,
                    error_cnt: 0,
                    create_time: Micros(0),
                    update_time: Micros(0),
                    key: Circuit::default(),
                },
                workspace: Workspace {
                    balance_nano_usd: Some(upstream.balance(at, 0)),
                    ..Workspace::new(name)
                },
                open: Vec::new(),
                soonest: Micros(i64::MAX),
            }
        });
        Self {
            settings,
            rows: rows.collect(),
            views: vec![View::new(settings); upstream.scenario.replicas],
            closed: BTreeMap::new(),
            newest: BTreeMap::new(),
            ttl: upstream.scenario.jobs.ttl(),
            random: Random::of(upstream.scenario.seed, 3, 0),
            leases: 0,
            runner: "runner".into(),
            app: APP.into(),
            violations: 0,
        }
    }

    fn ask(&mut self, job: &Job) -> Ask {
        self.leases += 1;
        Ask {
            lease_id: self.leases.to_string().into(),
            app_name: Arc::clone(&self.app),
            task_id: job.id.to_string().into(),
            user_id: 1,
            runner_id: Arc::clone(&self.runner),
            ttl_micros: Some(self.ttl),
            estimated_cost_nano_usd: 1,
            running_on: None,
            random: self.random.number(),
        }
    }

    /// Locks and reads the rows of some accounts.
    fn snapshot(&self, accounts: &[usize], named: Option<&Arc<Lease>>, now: Micros) -> Snapshot {
        let rows = || accounts.iter().map(|account| &self.rows[*account]);
        Snapshot {
            now,
            workspaces: rows().map(|row| row.workspace.clone()).collect(),
            accounts: rows().map(|row| row.account.clone()).collect(),
            leases: rows()
                .flat_map(|row| row.open.iter().map(|open| &open.2))
                .chain(named)
                .cloned()
                .collect(),
            ..Snapshot::default()
        }
    }

    fn commit(&mut self, plan: Plan) {
        let mut touched = Vec::new();
        for (_, workspace) in plan.workspaces {
            // A row is found by the number in its workspace's name.
            let number = workspace.workspace.trim_start_matches("ws-").parse::<usize>();
            self.rows[number.expect("named by new") - 1].workspace = workspace;
        }
        for (_, account) in plan.accounts {
            let index = (account.account_id - 1) as usize;
            self.rows[index].account = account;
        }
        for (_, lease) in plan.leases {
            let row = &mut self.rows[(lease.account_id - 1) as usize];
            row.put(&lease);
            touched.push((lease.account_id - 1) as usize);
            if !lease.is_open() {
                self.closed.insert(Arc::clone(&lease.lease_id), lease);
            }
        }
        // Only as the commit leaves it: a slot may have come back and been given again in it.
        for account in touched {
            let row = &self.rows[account];
            self.violations += u64::from(row.open.len() > row.account.max_concurrency as usize);
        }
    }

    /// Hears what credit the accounts have, where that has changed.
    fn hear_balances(&mut self, upstream: &Upstream, now: i64) {
        for account in 0..self.rows.len() {
            let balance = Some(upstream.balance(account, now));
            if self.rows[account].workspace.balance_nano_usd == balance {
                continue;
            }
            let mut pool =
                Pool::new(self.snapshot(&[account], None, Micros(now)), Peers::default(), &self.settings);
            let row = &self.rows[account].account;
            pool.hear_balance(&row.workspace, row.account_id, balance, ("reconciliation", "read"))
                .expect("its row is there");
            let plan = pool.into_plan();
            self.commit(plan);
        }
    }

    /// Runs a decision on one lease of an account, and answers whether the account went out or came back.
    fn on_lease(
        &mut self,
        replica: usize,
        grant: &Grant,
        now: i64,
        decide: impl FnOnce(&mut Pool<'_>, &Text),
    ) -> Option<Rotation> {
        let (lease_id, now) = (grant.lease_id.as_ref()?, Micros(now));
        let was_out = self.rows[grant.account].is_out();
        let snapshot = self.snapshot(&[grant.account], self.closed.get(lease_id), now);
        let mut pool = Pool::new(snapshot, self.views[replica].peers(), &self.settings);
        decide(&mut pool, lease_id);
        let plan = pool.into_plan();
        self.commit(plan);
        let row = &self.rows[grant.account];
        self.views[replica].observe(&row.seen(now), now);
        let is_out = row.is_out();
        (is_out != was_out).then_some(Rotation { account: grant.account, is_out })
    }
}

impl Policy for Leased {
    fn name(&self) -> &'static str {
        "scrip"
    }

    fn select(&mut self, replica: usize, job: &Job, now: i64, _truth: &Truth<'_>) -> Option<Grant> {
        let now = Micros(now);
        let mut ask = self.ask(job);
        for _round in 0..ROUNDS {
            let candidates = self.views[replica].propose(APP, ask.estimated_cost_nano_usd, ask.random);
            if candidates.is_empty() {
                return None;
            }
            let locked: Vec<usize> = candidates.accounts().map(|id| (id - 1) as usize).collect();
            let newest = self.newest.get(&job.id).filter(|lease| !lease.is_open());
            let snapshot = self.snapshot(&locked, newest, now);
            let mut pool = Pool::new(snapshot, self.views[replica].peers(), &self.settings);
            let lease = pool.choose(&ask).ok().and_then(|choice| pool.take(&ask, choice).ok());
            let plan = pool.into_plan();
            self.commit(plan);
            for account in locked {
                self.views[replica].observe(&self.rows[account].seen(now), now);
            }
            if let Some(lease) = lease {
                self.newest.remove(&job.id);
                let account = (lease.account_id - 1) as usize;
                let lease_id = Some(Arc::clone(&lease.lease_id));
                return Some(Grant { account, replica, is_probe: lease.is_probe, lease_id });
            }
            ask.random = self.random.number();
        }
        None
    }

    fn report(
        &mut self,
        replica: usize,
        grant: &Grant,
        answer: &Answer,
        now: i64,
        is_last: bool,
    ) -> Option<Rotation> {
        let (report, random): (Report, u64) = (answer.report(), self.random.number());
        let rotation = self.on_lease(replica, grant, now, |pool, lease_id| {
            // A lease that expired long ago is still known; only this simulation forgets.
            let _ = pool.release(lease_id, &report, random);
        });
        let lease_id = grant.lease_id.as_ref()?;
        let lease = self.closed.get(lease_id).cloned();
        if is_last {
            self.closed.remove(lease_id);
        }
        if let Some(lease) = lease.filter(|_| answer.is_worth_a_retry()) {
            let job = lease.task_id.parse().unwrap_or_default();
            self.newest.insert(job, lease);
        }
        rotation
    }

    fn taken(&mut self, replica: usize, grant: &Grant, now: i64) -> Option<Rotation> {
        self.on_lease(replica, grant, now, |pool, lease_id| {
            let _ = pool.started(lease_id);
        })
    }

    fn renew(&mut self, replica: usize, grant: &Grant, now: i64) -> Option<Rotation> {
        let ttl = self.ttl;
        self.on_lease(replica, grant, now, |pool, lease_id| {
            let _ = pool.renew(lease_id, Some(ttl));
        })
    }

    fn refresh(&mut self, replica: usize, now: i64, upstream: &Upstream) {
        if replica == 0 && now % BALANCES == 0 {
            self.hear_balances(upstream, now);
        }
        let now = Micros(now);
        self.views[replica].refresh(self.rows.iter().map(|row| row.seen(now)), now);
    }

    fn crash_recovery(&self) -> Option<i64> {
        Some(self.ttl)
    }

    fn is_shared(&self) -> bool {
        true
    }
}
