//! What is simulated: the cells of the grid.

use std::fmt;

/// One second, in microseconds.
pub const S: i64 = 1_000_000;

/// What goes wrong between a cell's `fault_start` and `fault_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// A tenth of the keys are refused (401), to the end.
    DeadKey,
    /// A tenth of the accounts are locked, their balance is 0; then they are topped up. Both are heard.
    ExhaustedLock,
    /// A tenth are locked while their balance looks well; then unlocked.
    PositiveLock,
    /// Three tenths answer 429 for 20 s, asking for 5 s.
    RateBurst,
    /// A tenth fail three of ten jobs with 503.
    Errors30,
    /// A tenth take ten times as long.
    Slow,
    /// A tenth are down and up by turns, 20 s each.
    Flapping,
    /// A tenth of the tasks fail on every key: half of them with 422, half with 500.
    Poison,
    /// Everything answers 503 for 60 s, and what runs fails.
    Outage,
    /// Two in a hundred runners die.
    Crash,
    /// Reports come twice (a tenth), up to 60 s late (a tenth), and so out of order.
    Reports,
}

impl Fault {
    pub const ALL: [Fault; 12] = [
        Fault::None,
        Fault::DeadKey,
        Fault::ExhaustedLock,
        Fault::PositiveLock,
        Fault::RateBurst,
        Fault::Errors30,
        Fault::Slow,
        Fault::Flapping,
        Fault::Poison,
        Fault::Outage,
        Fault::Crash,
        Fault::Reports,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::DeadKey => "dead key",
            Fault::ExhaustedLock => "exhausted lock",
            Fault::PositiveLock => "lock, positive balance",
            Fault::RateBurst => "429 burst",
            Fault::Errors30 => "30 % 5xx",
            Fault::Slow => "ten times slow",
            Fault::Flapping => "flapping",
            Fault::Poison => "poison inputs",
            Fault::Outage => "global outage",
            Fault::Crash => "crashed runners",
            Fault::Reports => "odd reports",
        }
    }

    /// Whether it takes accounts out until somebody mends them.
    pub fn is_dead_or_locked(self) -> bool {
        matches!(self, Fault::DeadKey | Fault::ExhaustedLock | Fault::PositiveLock)
    }

    /// The share of accounts that it hits.
    pub fn share(self) -> f64 {
        match self {
            Fault::RateBurst => 0.3,
            Fault::None | Fault::Poison | Fault::Outage | Fault::Crash | Fault::Reports => 0.0,
            _ => 0.1,
        }
    }
}

/// How long jobs take: lognormal, named by the 10th and 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// 3 to 8 s.
    Short,
    /// 60 to 300 s.
    Long,
}

impl Jobs {
    /// The parameters of ln t, t in seconds: 1.2816 is the 90th percentile of the normal distribution.
    pub fn lognormal(self) -> (f64, f64) {
        let (low, high): (f64, f64) = match self {
            Jobs::Short => (3.0, 8.0),
            Jobs::Long => (60.0, 300.0),
        };
        ((low * high).ln() / 2.0, (high / low).ln() / (2.0 * 1.2816))
    }

    /// The mean, in seconds.
    pub fn mean(self) -> f64 {
        let (mu, sigma) = self.lognormal();
        (mu + sigma * sigma / 2.0).exp()
    }

    /// A lease's time to live, in microseconds. Runners renew after a third of it.
    pub fn ttl(self) -> i64 {
        match self {
            Jobs::Short => 30 * S,
            Jobs::Long => 120 * S,
        }
    }
}

/// One cell.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub pool: usize,
    pub jobs: Jobs,
    /// Arrivals, in permille of what the pool could carry.
    pub load: u32,
    pub replicas: usize,
    pub fault: Fault,
    pub seed: u64,
}

/// A cell is repeated until about so many tasks were measured: a pool of 2 gets a handful a minute.
const ENOUGH: f64 = 5_000.0;
/// The slots of an account, on the mean.
const MEAN_LIMIT: f64 = 15.4;

impl Scenario {
    /// How often it is run.
    pub fn rounds(&self) -> u64 {
        let rate = self.pool as f64 * MEAN_LIMIT / self.jobs.mean() * f64::from(self.load) / 1_000.0;
        let tasks = rate * (self.end() - self.warm()) as f64 / S as f64;
        (ENOUGH / tasks).ceil() as u64
    }

    /// The same with other accounts, tasks and lots.
    pub fn of_round(self, round: u64) -> Self {
        Self { seed: self.seed ^ (round << 32), ..self }
    }

    /// From here on jobs are measured.
    pub fn warm(&self) -> i64 {
        match self.jobs {
            Jobs::Short => 30 * S,
            Jobs::Long => 400 * S,
        }
    }

    pub fn fault_start(&self) -> i64 {
        self.warm() + 30 * S
    }

    pub fn fault_end(&self) -> i64 {
        match (self.fault, self.jobs) {
            (Fault::DeadKey, _) => i64::MAX,
            (Fault::RateBurst, _) => self.fault_start() + 20 * S,
            (Fault::Outage, _) => self.fault_start() + 60 * S,
            (_, Jobs::Short) => self.fault_start() + 120 * S,
            (_, Jobs::Long) => self.fault_start() + 600 * S,
        }
    }

    /// Long enough after the fault that everything is back. A pool of 10,000 gets 1,000 tasks a second and more: where
    /// nothing happens, 100 s of them say enough.
    pub fn end(&self) -> i64 {
        match (self.fault, self.jobs) {
            (Fault::None, _) if self.pool >= 10_000 => self.warm() + 100 * S,
            // A dead key stays dead: nothing comes back that would have to be waited for.
            (Fault::DeadKey, _) if self.pool >= 10_000 => self.fault_start() + 100 * S,
            (Fault::None, Jobs::Short) => 120 * S,
            (Fault::None, Jobs::Long) => 700 * S,
            (_, Jobs::Short) => 540 * S,
            (_, Jobs::Long) => 1_500 * S,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = match self.jobs {
            Jobs::Short => "3–8 s",
            Jobs::Long => "60–300 s",
        };
        let load = f64::from(self.load) / 1_000.0;
        write!(f, "{} × {jobs} × {load} × {} × {}", self.pool, self.replicas, self.fault.name())
    }
}

/// The default grid: every pool size, load and fault at least once.
pub fn grid(seed: u64) -> Vec<Scenario> {
    use Jobs::{Long, Short};
    let cell = |(pool, jobs, load, replicas, fault)| Scenario { pool, jobs, load, replicas, fault, seed };
    let healthy = [
        (2, Short, 800, 1, Fault::None),
        (2, Short, 1_300, 8, Fault::None),
        (2, Long, 800, 3, Fault::None),
        (8, Short, 500, 1, Fault::None),
        (8, Short, 800, 3, Fault::None),
        (8, Short, 950, 3, Fault::None),
        (8, Short, 1_300, 8, Fault::None),
        (64, Short, 800, 3, Fault::None),
        (64, Short, 950, 8, Fault::None),
        (64, Short, 1_300, 3, Fault::None),
        (64, Long, 800, 3, Fault::None),
        (64, Long, 1_000, 3, Fault::None),
        (1_000, Short, 800, 3, Fault::None),
        (1_000, Long, 950, 8, Fault::None),
        (10_000, Long, 900, 8, Fault::None),
    ];
    let faults = Fault::ALL.into_iter().skip(1).map(|fault| (64, Short, 800, 3, fault));
    let small = [
        Fault::DeadKey,
        Fault::ExhaustedLock,
        Fault::Errors30,
        Fault::Flapping,
        Fault::Poison,
        Fault::Outage,
    ];
    let small = small.into_iter().map(|fault| (8, Short, 800, 3, fault));
    let others = [
        (2, Short, 800, 3, Fault::Outage),
        (64, Long, 800, 3, Fault::PositiveLock),
        (64, Long, 800, 3, Fault::Errors30),
        (64, Long, 800, 3, Fault::Outage),
        (64, Long, 800, 3, Fault::Crash),
        (64, Short, 1_000, 3, Fault::Errors30),
        (1_000, Long, 900, 8, Fault::DeadKey),
        (10_000, Long, 500, 3, Fault::DeadKey),
    ];
    healthy.into_iter().chain(faults).chain(small).chain(others).map(cell).collect()
}

/// Every combination. The largest pools take hours.
pub fn full_grid(seed: u64) -> Vec<Scenario> {
    let mut cells = Vec::new();
    for pool in [2, 8, 64, 1_000, 10_000] {
        for jobs in [Jobs::Short, Jobs::Long] {
            for load in [500, 800, 1_000, 1_300] {
                for replicas in [1, 3, 8] {
                    for fault in Fault::ALL {
                        cells.push(Scenario { pool, jobs, load, replicas, fault, seed });
                    }
                }
            }
        }
    }
    cells
}
