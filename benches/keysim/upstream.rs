//! The truth that no policy but the oracle sees: the accounts, their limits, and what fal answers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use scrip::keypool::{LeaseOutcome, Report};

use super::measure::Jain;
use super::random::Random;
use super::scenario::{Fault, S, Scenario};

/// An account as it is.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    pub limit: u32,
    /// Whether the cell's fault hits it.
    pub is_hit: bool,
}

/// A task's input, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Good,
    /// 422 everywhere.
    Refused,
    /// 500 everywhere.
    Breaks,
}

/// A task.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub id: u64,
    pub arrive: i64,
    /// How long it takes where nothing is wrong, in microseconds.
    pub service: i64,
    pub input: Input,
    /// Tries so far.
    pub attempt: u32,
    pub last_account: Option<usize>,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// When, in microseconds after its start.
    pub after: i64,
    /// Whether it failed because of this account.
    pub is_accounts_fault: bool,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        self.status == 200
    }

    /// Whether another account might do better.
    pub fn is_worth_a_retry(&self) -> bool {
        !self.is_success() && self.status != 422
    }

    /// What a runner reports of it.
    pub fn report(&self) -> Report {
        let body = match self.status {
            401 => r#"{"detail":"No user found for Key ID and Secret"}"#,
            403 => r#"{"detail":"User is locked. Reason: Exhausted balance."}"#,
            _ => "",
        };
        Report {
            outcome: self.is_success().then_some(LeaseOutcome::Succeeded),
            http_status: Some(self.status),
            error_message: body.into(),
            retry_after_micros: (self.status == 429).then_some(5 * S),
            latency_micros: Some(self.after),
        }
    }
}

/// Credit that covers everything, in nano-USD.
const RICH: i64 = 100_000_000_000;

/// The index by number of jobs. Each goes where (jobs + ½) ÷ limit is least, as in Webster's apportionment.
fn even(accounts: &[Account]) -> Vec<f64> {
    let key =
        |at: usize, jobs: u32| (u64::from(2 * jobs + 1) * 1_000_000 / u64::from(accounts[at].limit), at);
    let mut next: BinaryHeap<_> = (0..accounts.len()).map(|at| Reverse((key(at, 0), 0))).collect();
    let (mut jain, mut even) = (Jain::default(), vec![1.0]);
    while let Some(Reverse(((_, at), jobs))) = next.pop() {
        let limit = accounts[at].limit;
        jain.change(limit, jobs, jobs + 1);
        even.extend(jain.index(accounts.len()));
        if jobs + 1 < limit {
            next.push(Reverse((key(at, jobs + 1), jobs + 1)));
        }
    }
    even
}

/// fal.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub accounts: Vec<Account>,
    pub scenario: Scenario,
    /// Jain's index of so many jobs placed one by one where they keep the accounts most even: as whole jobs allow,
    /// were none of them already running somewhere.
    pub even: Vec<f64>,
}

impl Upstream {
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::of(scenario.seed, 1, scenario.pool as u64);
        let hit = (scenario.pool as f64 * scenario.fault.share()).ceil() as usize;
        let accounts: Vec<_> = (0..scenario.pool)
            .map(|i| Account { limit: [2, 5, 10, 20, 40][random.below(5)], is_hit: i < hit })
            .collect();
        let even = even(&accounts);
        Self { accounts, scenario, even }
    }

    /// The credit that fal shows, in nano-USD.
    pub fn balance(&self, account: usize, now: i64) -> i64 {
        let has_run_out = self.scenario.fault == Fault::ExhaustedLock && self.is_down(account, now);
        if has_run_out { 0 } else { RICH }
    }

    /// All slots.
    pub fn slots(&self) -> u32 {
        self.accounts.iter().map(|account| account.limit).sum()
    }

    /// The accounts hit by the fault.
    pub fn hit(&self) -> impl Iterator<Item = usize> + '_ {
        self.accounts.iter().enumerate().filter(|(_, account)| account.is_hit).map(|(i, _)| i)
    }

    fn is_faulty_at(&self, now: i64) -> bool {
        (self.scenario.fault_start()..self.scenario.fault_end()).contains(&now)
    }

    /// Whether a good job that starts there now is lost for certain.
    pub fn is_down(&self, account: usize, now: i64) -> bool {
        if !self.is_faulty_at(now) {
            return false;
        }
        let is_hit = self.accounts[account].is_hit;
        match self.scenario.fault {
            Fault::DeadKey | Fault::ExhaustedLock | Fault::PositiveLock | Fault::RateBurst => is_hit,
            Fault::Flapping => is_hit && self.is_flapped_down(now),
            Fault::Outage => true,
            _ => false,
        }
    }

    fn is_flapped_down(&self, now: i64) -> bool {
        (now - self.scenario.fault_start()) / (20 * S) % 2 == 0
    }

    /// The moments at which [`Upstream::is_down`] changes.
    pub fn edges(&self) -> Vec<i64> {
        let (start, end) = (self.scenario.fault_start(), self.scenario.fault_end());
        let mut edges = vec![start, end];
        if self.scenario.fault == Fault::Flapping {
            edges.extend((1..).map(|turn| start + turn * 20 * S).take_while(|edge| *edge < end));
        }
        edges.retain(|edge| *edge < self.scenario.end());
        edges
    }

    /// Whether the account takes longer than it should.
    pub fn is_slow(&self, account: usize, now: i64) -> bool {
        self.scenario.fault == Fault::Slow && self.accounts[account].is_hit && self.is_faulty_at(now)
    }

    /// How an attempt ends that starts now. An account given more jobs than its limit refuses the last with 429.
    pub fn answer(&self, job: &Job, account: usize, now: i64, is_over_limit: bool) -> Answer {
        let mut random = Random::of(self.scenario.seed, 2, job.id ^ (u64::from(job.attempt) << 48));
        let at_once = random.between(S / 10, S / 2);
        let soon = random.between(S / 5, 3 * S);
        let fails = random.chance(0.3);
        let accounts = |status, after| Answer { status, after, is_accounts_fault: true };
        let nobodys = |status, after| Answer { status, after, is_accounts_fault: false };
        if is_over_limit {
            return nobodys(429, at_once);
        }
        let is_down = self.is_down(account, now);
        match self.scenario.fault {
            Fault::DeadKey if is_down => return accounts(401, at_once),
            Fault::ExhaustedLock | Fault::PositiveLock if is_down => return accounts(403, at_once),
            Fault::RateBurst if is_down => return accounts(429, at_once),
            Fault::Flapping if is_down => return accounts(503, soon),
            Fault::Outage if is_down => return nobodys(503, soon),
            Fault::Errors30 if self.accounts[account].is_hit && self.is_faulty_at(now) && fails => {
                return accounts(503, soon);
            }
            _ => {}
        }
        match job.input {
            Input::Good => {}
            Input::Refused => return nobodys(422, soon),
            Input::Breaks => return nobodys(500, soon),
        }
        let service = if self.is_slow(account, now) { job.service * 10 } else { job.service };
        // An outage that begins while the job runs takes it along.
        let outage = self.scenario.fault_start();
        if self.scenario.fault == Fault::Outage && now < outage && now + service > outage {
            return nobodys(503, outage - now + soon);
        }
        Answer { status: 200, after: service, is_accounts_fault: false }
    }
}
