//! What is measured of one policy in one cell.

use super::policy::Rotation;
use super::scenario::{S, Scenario};
use super::upstream::{Answer, Upstream};

/// The figures, gathered while a cell runs.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// Tasks that came after the warm-up, and ended.
    pub tasks: u64,
    pub succeeded: u64,
    /// Waited 60 s for a key in vain.
    pub refused: u64,
    /// Of each task: how long it waited while an account that would have served it had a slot free.
    pub idle_waits: Vec<i64>,
    /// Keys given beyond an account's limit.
    pub violations: u64,
    /// Attempts on accounts while they were down.
    pub wasted: u64,
    /// Keys given out, not as probes, of an account already blamed for being dead or locked.
    pub after_blame: u64,
    /// Accounts taken out for what was not their fault.
    pub false_quarantines: u64,
    /// Slots taken by runners that were dead, times how long.
    pub leaked_slot_micros: i64,
    pub jain_sum: f64,
    /// What the index would have been, had the same number of jobs been placed anew.
    pub even_sum: f64,
    pub jain_samples: u64,
    /// Of each account that the fault hit: when it first failed, went out, and came back after its end.
    pub hit: Vec<Hit>,
}

/// Jain's index of fairness over in flight ÷ limit: (Σ x)² ÷ (n Σ x²).
#[derive(Clone, Copy, Debug, Default)]
pub struct Jain {
    sum: f64,
    squares: f64,
}

impl Jain {
    /// An account's jobs change.
    pub fn change(&mut self, limit: u32, from: u32, to: u32) {
        let share = |jobs: u32| f64::from(jobs) / f64::from(limit);
        self.sum += share(to) - share(from);
        self.squares += share(to).powi(2) - share(from).powi(2);
    }

    /// The index; none while nothing runs.
    pub fn index(&self, accounts: usize) -> Option<f64> {
        (self.sum > 0.0).then(|| self.sum.powi(2) / (self.squares * accounts as f64))
    }
}

/// What happened to an account that the fault hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hit {
    pub first_blame: Option<i64>,
    pub first_out: Option<i64>,
    pub first_return: Option<i64>,
    pub is_out: bool,
}

impl Measures {
    pub fn new(upstream: &Upstream) -> Self {
        Self { hit: vec![Hit::default(); upstream.hit().count()], ..Self::default() }
    }

    /// Adds another round's figures.
    pub fn add(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.succeeded += other.succeeded;
        self.refused += other.refused;
        self.idle_waits.extend(other.idle_waits);
        self.violations += other.violations;
        self.wasted += other.wasted;
        self.after_blame += other.after_blame;
        self.false_quarantines += other.false_quarantines;
        self.leaked_slot_micros += other.leaked_slot_micros;
        self.jain_sum += other.jain_sum;
        self.even_sum += other.even_sum;
        self.jain_samples += other.jain_samples;
        self.hit.extend(other.hit);
    }

    /// A key was given.
    pub fn given(&mut self, upstream: &Upstream, account: usize, is_probe: bool, now: i64) {
        let scenario = &upstream.scenario;
        self.wasted += u64::from(upstream.is_down(account, now) && upstream.accounts[account].is_hit);
        // The accounts that are hit come first.
        let Some(hit) = self.hit.get_mut(account) else { return };
        let faulty = (scenario.fault_start()..scenario.fault_end()).contains(&now);
        let is_blamed = faulty && scenario.fault.is_dead_or_locked() && hit.first_blame.is_some();
        self.after_blame += u64::from(is_blamed && !is_probe);
    }

    /// A report was decided on.
    pub fn reported(
        &mut self,
        upstream: &Upstream,
        account: usize,
        answer: &Answer,
        rotation: Option<Rotation>,
        now: i64,
    ) {
        if let Some(hit) = self.hit.get_mut(account).filter(|_| answer.is_accounts_fault) {
            hit.first_blame.get_or_insert(now);
        }
        if let Some(rotation) = rotation.filter(|rotation| rotation.is_out) {
            self.false_quarantines += u64::from(!answer.is_accounts_fault);
            if let Some(hit) = self.hit.get_mut(rotation.account).filter(|_| answer.is_accounts_fault) {
                hit.first_out.get_or_insert(now);
            }
        }
        self.rotated(upstream, rotation, now);
    }

    /// An account went out of rotation or came back.
    pub fn rotated(&mut self, upstream: &Upstream, rotation: Option<Rotation>, now: i64) {
        let Some(rotation) = rotation else { return };
        let Some(hit) = self.hit.get_mut(rotation.account) else { return };
        hit.is_out = rotation.is_out;
        if !rotation.is_out && now >= upstream.scenario.fault_end() {
            hit.first_return.get_or_insert(now);
        }
    }

    /// How evenly the accounts are in use: Jain's index over in flight ÷ limit.
    pub fn sample(&mut self, upstream: &Upstream, running: &[u32]) {
        let mut jain = Jain::default();
        let mut jobs = 0;
        for (account, running) in upstream.accounts.iter().zip(running) {
            jain.change(account.limit, 0, *running);
            jobs += *running as usize;
        }
        // What runs beyond limits has no even placing.
        if let (Some(index), Some(even)) = (jain.index(running.len()), upstream.even.get(jobs)) {
            self.jain_sum += index;
            self.even_sum += even;
            self.jain_samples += 1;
        }
    }

    pub fn success(&self) -> f64 {
        self.succeeded as f64 / self.tasks.max(1) as f64
    }

    pub fn jain(&self) -> f64 {
        self.jain_sum / self.jain_samples.max(1) as f64
    }

    pub fn even(&self) -> f64 {
        self.even_sum / self.jain_samples.max(1) as f64
    }

    /// Seconds from the first failure of an account that was hit to its going out: the mean, of those that did.
    pub fn detect(&self) -> Option<f64> {
        let times: Vec<_> =
            self.hit.iter().filter_map(|hit| Some(hit.first_out? - hit.first_blame?)).collect();
        (!times.is_empty()).then(|| times.iter().sum::<i64>() as f64 / times.len() as f64 / S as f64)
    }

    /// Seconds from the fault's end until an account that was out is in rotation again: the longest; infinite if one
    /// never came back, nothing if all were back before the end.
    pub fn back(&self, scenario: &Scenario) -> Option<f64> {
        if scenario.fault_end() >= scenario.end() {
            return None;
        }
        let out = self.hit.iter().filter(|hit| hit.first_out.is_some());
        let times = out.filter_map(|hit| match hit.first_return {
            Some(time) => Some((time - scenario.fault_end()) as f64 / S as f64),
            None => hit.is_out.then_some(f64::INFINITY),
        });
        times.reduce(f64::max)
    }

    /// Attempts wasted on an account that was down, on the mean.
    pub fn wasted_each(&self) -> f64 {
        self.wasted as f64 / self.hit.len().max(1) as f64
    }

    /// Seconds waited while a slot was free, at a quantile.
    pub fn idle_wait(&mut self, quantile: f64) -> f64 {
        if self.idle_waits.is_empty() {
            return 0.0;
        }
        let at = ((self.idle_waits.len() - 1) as f64 * quantile) as usize;
        *self.idle_waits.select_nth_unstable(at).1 as f64 / S as f64
    }
}
