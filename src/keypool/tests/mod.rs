//! Tests of the pool's decisions: each file holds one part, and every batch any of them decides is applied to tables
//! whose invariants are checked.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, which is what it should do")]

mod admin;
mod blame;
mod choosing;
mod circuits;
mod commands;
mod desk;
mod judging;
mod leases;
mod secrets;
mod views;

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared with the integration tests")]
#[path = "../../../tests/support/keypool_world.rs"]
mod world;

use std::sync::Arc;

use super::{
    Account, AccountId, Ask, Cause, Choice, Gate, Health, Lease, LeaseOutcome, NoKey, Peer, Peers, Plan,
    Pool, Refusal, Released, Report, Settings,
};
use crate::ledger::{Micros, Text};
use crate::{keypool, ledger};
use world::{S, World, account};

/// Tables, a clock, what the other accounts said, and what the newest batch wrote.
struct Bench {
    world: World,
    now: Micros,
    settings: Settings,
    peers: Vec<Peer>,
    plan: Plan,
    ids: u64,
}

impl Bench {
    fn with(accounts: impl IntoIterator<Item = Account>) -> Self {
        let mut world = World::default();
        for account in accounts {
            world.add(account);
        }
        Self {
            world,
            now: Micros(1_760_000_000_000_000),
            settings: Settings::default(),
            peers: Vec::new(),
            plan: Plan::default(),
            ids: 0,
        }
    }

    fn pass(&mut self, micros: i64) {
        self.now = self.now.plus(micros);
    }

    /// Decides on all rows and writes the plan.
    #[track_caller]
    fn batch<T>(&mut self, tasks: &[&str], decide: impl FnOnce(&mut Pool<'_>) -> T) -> T {
        let peers = Peers { peers: &self.peers, typical_latency_micros: None };
        let mut pool = Pool::new(self.world.whole(tasks, self.now), peers, &self.settings);
        let outcome = decide(&mut pool);
        self.plan = pool.into_plan();
        self.world.apply(&self.plan);
        assert_eq!(self.world.wrong(), [""; 0]);
        outcome
    }

    fn ask(&mut self, task_id: &str) -> Ask {
        self.ids += 1;
        Ask {
            lease_id: format!("lease-{}", self.ids).into(),
            app_name: "fal-ai/flux/dev".into(),
            task_id: task_id.into(),
            user_id: 7,
            runner_id: "runner".into(),
            ttl_micros: None,
            estimated_cost_nano_usd: 0,
            running_on: None,
            random: self.ids,
        }
    }

    #[track_caller]
    fn select(&mut self, ask: &Ask) -> Result<Arc<Lease>, Refusal> {
        let task_id = Arc::clone(&ask.task_id);
        self.batch(&[&task_id], |pool| match pool.choose(ask) {
            Ok(choice) => Ok(pool.take(ask, choice).expect("chosen of this state")),
            Err(NoKey::Refused(refusal)) => Err(refusal),
            Err(NoKey::Unlocked(account_id)) => panic!("{account_id} is not locked"),
        })
    }

    /// Leases a key for a new task.
    #[track_caller]
    fn lease(&mut self) -> Arc<Lease> {
        let task_id = format!("task-{}", self.ids);
        let ask = self.ask(&task_id);
        self.select(&ask).expect("a key is free")
    }

    /// Leases the key of one account for a new task: as its probe, if it is due.
    #[track_caller]
    fn lease_on(&mut self, account_id: AccountId) -> Arc<Lease> {
        let task_id = format!("task-{}", self.ids);
        let ask = self.ask(&task_id);
        let row = &self.world.accounts[&account_id];
        let gate = keypool::workspace::gate(row, self.world.workspace_of(account_id), self.now);
        let choice = Choice::New { account_id, is_probe: gate == Gate::Due, supersedes: None };
        self.batch(&[], |pool| pool.take(&ask, choice)).expect("it is there")
    }

    #[track_caller]
    fn refusal(&mut self) -> Refusal {
        let task_id = format!("task-{}", self.ids);
        let ask = self.ask(&task_id);
        self.select(&ask).expect_err("no key is free")
    }

    #[track_caller]
    fn release(&mut self, lease: &Lease, report: &Report) -> Released {
        let random = self.ids;
        self.batch(&[], |pool| pool.release(&lease.lease_id, report, random).expect("it is known"))
    }

    #[track_caller]
    fn report(&mut self, lease: &Lease, outcome: LeaseOutcome) -> Released {
        self.release(lease, &Report { outcome: Some(outcome), ..Report::default() })
    }

    /// Lets `count` jobs fail in a row on a workspace, a second apart.
    #[track_caller]
    fn fail(&mut self, outcome: LeaseOutcome, count: u32) {
        for _ in 0..count {
            let lease = self.lease();
            self.pass(S);
            self.report(&lease, outcome);
        }
    }

    fn health(&self, account_id: AccountId) -> Health {
        let account = &self.world.accounts[&account_id];
        keypool::workspace::health(account, self.world.workspace_of(account_id)).0
    }

    fn until(&self, account_id: AccountId) -> Micros {
        let account = &self.world.accounts[&account_id];
        keypool::workspace::health(account, self.world.workspace_of(account_id)).1.expect("it is out")
    }

    /// A peer that last succeeded, or last failed, `ago` microseconds ago.
    fn peer(&mut self, failed: Option<Cause>, ago: i64) {
        let time = self.now.plus(-ago);
        self.peers.push(Peer {
            workspace: format!("peer-{}", self.peers.len()).into(),
            last_failure: failed.map(|cause| (cause, time)),
            last_success: failed.is_none().then_some(time),
        });
    }
}

fn text(text: &str) -> Text {
    text.into()
}
