//! What gateways do: the usual policies, as each of their processes would run them.
//!
//! They count in memory, each process for itself: up when it gives a key, down when the job is reported. That is how
//! limits are kept "per process", and how a runner that dies takes a slot along for ever. They are spared what would
//! be unfair: a report always reaches the process that gave the key, once and in time, and a task that is tried again
//! is not sent to the account it just failed on while there is another.

use std::collections::BTreeMap;

use super::policy::{Grant, Policy, Rotation, Truth};
use super::random::Random;
use super::scenario::S;
use super::upstream::{Answer, Job, Upstream};

/// How a process picks among the accounts it thinks free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    Random,
    WeightedRandom,
    RoundRobin,
    LeastInFlight,
    TwoChoices,
    /// Power of two choices by peak-sensitive moving average of latency × in flight (Finagle's peak EWMA).
    PeakEwma,
    /// Round robin; three failures in a row, of whatever kind, ban an account for 60 s.
    Ban,
}

const BAN_AFTER: u32 = 3;
const BAN: i64 = 60 * S;
/// The time constant of the moving average, as Finagle's default.
const EWMA_DECAY: f64 = 10.0 * S as f64;

/// What a process knows of an account.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    in_flight: u32,
    failures: u32,
    banned_until: i64,
    ewma: f64,
    heard: i64,
}

/// The accounts of a process by how many keys of each are out, so that the least used is found without a search.
#[derive(Clone, Debug)]
struct Levels {
    /// The accounts with a slot free, by their count.
    free: Vec<Vec<usize>>,
    /// Where each stands on its level.
    place: Vec<usize>,
}

impl Levels {
    fn new(limits: &[u32]) -> Self {
        let most = limits.iter().max().map_or(0, |limit| *limit as usize);
        let mut free = vec![Vec::new(); most + 1];
        free[0] = (0..limits.len()).collect();
        Self { free, place: (0..limits.len()).collect() }
    }

    /// An account's count changes; one that reaches its limit stands nowhere.
    fn put(&mut self, account: usize, limit: u32, from: u32, to: u32) {
        if from < limit {
            let level = &mut self.free[from as usize];
            let place = self.place[account];
            level.swap_remove(place);
            if let Some(moved) = level.get(place) {
                self.place[*moved] = place;
            }
        }
        if to < limit {
            let level = &mut self.free[to as usize];
            self.place[account] = level.len();
            level.push(account);
        }
    }

    /// One of the least used, by lot; the one to avoid only if it is the last.
    fn least(&self, avoid: Option<usize>, random: &mut Random) -> Option<usize> {
        let mut last = None;
        for level in self.free.iter().filter(|level| !level.is_empty()) {
            let start = random.below(level.len());
            for at in [level[start], level[(start + 1) % level.len()]] {
                if Some(at) != avoid {
                    return Some(at);
                }
                last = Some(at);
            }
        }
        last
    }
}

/// One of the usual policies, in all its processes.
pub struct Baseline {
    pick: Pick,
    limits: Vec<u32>,
    /// Limits summed up, to draw by weight.
    weights: Vec<u64>,
    processes: Vec<Vec<Known>>,
    /// For [`Pick::LeastInFlight`].
    levels: Vec<Levels>,
    next: Vec<usize>,
    random: Random,
    /// How often an account was banned that is not back yet.
    banned: BTreeMap<usize, u32>,
}

impl Baseline {
    pub fn new(pick: Pick, upstream: &Upstream) -> Self {
        let limits: Vec<u32> = upstream.accounts.iter().map(|account| account.limit).collect();
        let sums = limits.iter().scan(0_u64, |sum, limit| {
            *sum += u64::from(*limit);
            Some(*sum)
        });
        Self {
            pick,
            weights: sums.collect(),
            processes: vec![vec![Known::default(); limits.len()]; upstream.scenario.replicas],
            levels: vec![Levels::new(&limits); upstream.scenario.replicas],
            next: vec![0; upstream.scenario.replicas],
            random: Random::of(upstream.scenario.seed, 4, pick as u64),
            banned: BTreeMap::new(),
            limits,
        }
    }

    fn is_free(&self, replica: usize, account: usize, now: i64) -> bool {
        let known = &self.processes[replica][account];
        known.in_flight < self.limits[account] && known.banned_until <= now
    }

    fn draw(&mut self) -> usize {
        if self.pick == Pick::WeightedRandom {
            let total = self.weights.last().copied().unwrap_or(1);
            let at = self.random.number() % total;
            return self.weights.partition_point(|sum| *sum <= at);
        }
        self.random.below(self.limits.len())
    }

    /// A free account by lot: a few draws, then whatever follows the last.
    fn by_lot(&mut self, replica: usize, avoid: Option<usize>, now: i64) -> Option<usize> {
        let mut at = 0;
        for _ in 0..8 {
            at = self.draw();
            if Some(at) != avoid && self.is_free(replica, at, now) {
                return Some(at);
            }
        }
        self.from(replica, at, avoid, now)
    }

    /// The first free account from a place on; the one to avoid only if it is the last.
    fn from(&self, replica: usize, start: usize, avoid: Option<usize>, now: i64) -> Option<usize> {
        let all = (start..self.limits.len()).chain(0..start);
        let mut free = all.filter(|at| self.is_free(replica, *at, now));
        free.find(|at| Some(*at) != avoid).or(avoid.filter(|at| self.is_free(replica, *at, now)))
    }

    fn by_turn(&mut self, replica: usize, avoid: Option<usize>, now: i64) -> Option<usize> {
        let found = self.from(replica, self.next[replica], avoid, now)?;
        self.next[replica] = (found + 1) % self.limits.len();
        Some(found)
    }

    fn of_two(&mut self, replica: usize, avoid: Option<usize>, now: i64) -> Option<usize> {
        let (one, two) = (self.by_lot(replica, avoid, now)?, self.by_lot(replica, avoid, now)?);
        let (a, b) = (self.cost(replica, one), self.cost(replica, two));
        Some(if a <= b { one } else { two })
    }

    fn cost(&self, replica: usize, account: usize) -> f64 {
        let known = &self.processes[replica][account];
        match self.pick {
            Pick::PeakEwma => known.ewma * (f64::from(known.in_flight) + 1.0),
            _ => f64::from(known.in_flight),
        }
    }

    /// Counts a key given, or given back.
    fn count(&mut self, replica: usize, account: usize, by: i32) {
        let in_flight = &mut self.processes[replica][account].in_flight;
        let before = *in_flight;
        *in_flight = in_flight.saturating_add_signed(by);
        if self.pick == Pick::LeastInFlight {
            self.levels[replica].put(account, self.limits[account], before, *in_flight);
        }
    }
}

impl Policy for Baseline {
    fn name(&self) -> &'static str {
        match self.pick {
            Pick::Random => "random",
            Pick::WeightedRandom => "weighted random",
            Pick::RoundRobin => "round robin",
            Pick::LeastInFlight => "least in flight",
            Pick::TwoChoices => "two choices",
            Pick::PeakEwma => "peak EWMA",
            Pick::Ban => "ban with timer",
        }
    }

    fn select(&mut self, replica: usize, job: &Job, now: i64, _truth: &Truth<'_>) -> Option<Grant> {
        let avoid = job.last_account;
        let account = match self.pick {
            Pick::Random | Pick::WeightedRandom => self.by_lot(replica, avoid, now),
            Pick::RoundRobin | Pick::Ban => self.by_turn(replica, avoid, now),
            Pick::LeastInFlight => self.levels[replica].least(avoid, &mut self.random),
            Pick::TwoChoices | Pick::PeakEwma => self.of_two(replica, avoid, now),
        }?;
        self.count(replica, account, 1);
        Some(Grant { account, replica, is_probe: false, lease_id: None })
    }

    fn report(
        &mut self,
        _replica: usize,
        grant: &Grant,
        answer: &Answer,
        now: i64,
        _is_last: bool,
    ) -> Option<Rotation> {
        self.count(grant.replica, grant.account, -1);
        let known = &mut self.processes[grant.replica][grant.account];
        let latency = answer.after as f64;
        let weight = (-((now - known.heard) as f64) / EWMA_DECAY).exp();
        known.ewma =
            if latency > known.ewma { latency } else { known.ewma * weight + latency * (1.0 - weight) };
        known.heard = now;
        if answer.is_success() {
            known.failures = 0;
            if self.pick == Pick::Ban && self.banned.remove(&grant.account).is_some() {
                return Some(Rotation { account: grant.account, is_out: false });
            }
            return None;
        }
        known.failures += 1;
        if self.pick == Pick::Ban && known.failures >= BAN_AFTER {
            known.failures = 0;
            known.banned_until = now + BAN;
            let times = self.banned.entry(grant.account).or_default();
            *times += 1;
            return (*times == 1).then_some(Rotation { account: grant.account, is_out: true });
        }
        None
    }
}

/// Sees everything, and has one queue for all replicas: what no service can do, as a measure for those that try.
/// Which of the accounts that will serve a job it takes makes no difference to what it serves: by turns.
#[derive(Default)]
pub struct Oracle {
    next: usize,
}

impl Policy for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn select(&mut self, _replica: usize, job: &Job, now: i64, truth: &Truth<'_>) -> Option<Grant> {
        let upstream = truth.upstream;
        let mut best: Option<((bool, bool), usize)> = None;
        for at in (self.next..upstream.accounts.len()).chain(0..self.next) {
            let account = &upstream.accounts[at];
            if truth.running[at] >= account.limit || upstream.is_down(at, now) {
                continue;
            }
            // Elsewhere the answer is no matter of the account.
            let fails = account.is_hit && upstream.answer(job, at, now, false).is_worth_a_retry();
            let rank = (fails, upstream.is_slow(at, now));
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, at));
            }
            if rank == (false, false) {
                break;
            }
        }
        let (_, account) = best?;
        self.next = (account + 1) % upstream.accounts.len();
        Some(Grant { account, replica: 0, is_probe: false, lease_id: None })
    }

    fn report(&mut self, _: usize, _: &Grant, _: &Answer, _: i64, _: bool) -> Option<Rotation> {
        None
    }

    fn crash_recovery(&self) -> Option<i64> {
        Some(0)
    }

    fn sees_all(&self) -> bool {
        true
    }
}
