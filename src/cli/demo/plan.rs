//! The day that the demo plays: who, what, when, and what goes wrong. The same seed is the same day.

/// Seconds of a day.
const DAY_SECONDS: u32 = 24 * 3_600;
/// The day is played in steps of so many seconds.
pub(super) const STEP_SECONDS: u32 = 15 * 60;
/// The first user; the others follow.
const FIRST_USER: i64 = 101;
/// Users.
pub(super) const USERS: i64 = 12;
/// Points of a US dollar, and what a user pays of a dollar of cost, in percent.
const POINTS_PER_USD: i64 = 400;
const MARKUP_PERCENT: i64 = 160;

/// A model, as fal prices it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// Dollars a unit, as fal writes them, and the same in nano-USD.
    pub(super) price: &'static str,
    price_nano: i64,
    /// Units of a job, in thousandths: from, to, in steps.
    units: (i64, i64, i64),
    /// How often it is asked for.
    weight: u64,
}

/// The models; the last one is the one that fal does not bill.
pub(super) const MODELS: [Model; 6] = [
    model("fal-ai/flux/schnell", "megapixels", ("0.003", 3_000_000), (1_000, 2_000, 250), 34),
    model("fal-ai/flux/dev", "megapixels", ("0.025", 25_000_000), (1_000, 2_000, 500), 30),
    model("fal-ai/flux-pro/v1.1", "megapixels", ("0.04", 40_000_000), (1_000, 2_000, 1_000), 16),
    model("fal-ai/sora-2/image-to-video", "seconds", ("0.1", 100_000_000), (4_000, 12_000, 4_000), 10),
    model("fal-ai/minimax/video-01", "videos", ("0.5", 500_000_000), (1_000, 1_000, 1_000), 4),
    model("fal-ai/kokoro", "1000 characters", ("0.02", 20_000_000), (1_000, 6_000, 1_000), 6),
];
const SCHNELL: usize = 0;
const DEV: usize = 1;
const PRO: usize = 2;
const SORA: usize = 3;
const KOKORO: usize = 5;

const fn model(
    name: &'static str,
    unit: &'static str,
    (price, price_nano): (&'static str, i64),
    units: (i64, i64, i64),
    weight: u64,
) -> Model {
    Model { name, unit, price, price_nano, units, weight }
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It completes, and fal bills it.
    Completes,
    /// It fails, is refunded, and fal bills nothing.
    Fails,
    /// It fails and is refunded; fal bills it all the same.
    FailsYetBilled,
    /// It is free for the user, and fal bills it.
    Free,
    /// It completes; its runner reports half of what fal bills.
    Misreported,
    /// It completes, sold for a third of what it costs.
    TooCheap,
    /// fal does it and bills it; its runner is gone and nobody says so.
    NeverSettled,
    /// Its runner is gone, and fal knows nothing of it.
    Stuck,
    /// It completes, and fal bills nothing.
    Unbilled,
}

impl Fate {
    /// Whether fal bills it.
    pub(super) const fn is_billed(self) -> bool {
        !matches!(self, Fate::Fails | Fate::Stuck | Fate::Unbilled)
    }
}

/// A job of a user.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) task_id: String,
    /// fal's id of it.
    pub(super) request_id: String,
    pub(super) user_id: i64,
    pub(super) model: &'static Model,
    /// Thousandths of a unit.
    pub(super) milli_units: i64,
    /// What it is charged, in points.
    pub(super) points: i64,
    /// Days before the day that is played; 0: on it.
    pub(super) days_before: u32,
    /// Which step of its day.
    pub(super) step: u32,
    pub(super) fate: Fate,
}

impl Job {
    /// What fal charges for it, in nano-USD.
    pub(super) const fn cost_nano_usd(&self) -> i64 {
        self.model.price_nano / 1_000 * self.milli_units
    }

    /// Its units as a decimal.
    pub(super) fn units(&self) -> String {
        let (whole, part) = (self.milli_units / 1_000, self.milli_units % 1_000);
        if part == 0 {
            whole.to_string()
        } else {
            format!("{whole}.{part:03}").trim_end_matches('0').to_owned()
        }
    }
}

/// Users by their ids.
pub(super) fn users() -> impl Iterator<Item = i64> {
    FIRST_USER..FIRST_USER + USERS
}

/// splitmix64: enough for a day that looks like one.
pub(super) struct Lots(u64);

impl Lots {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number below `bound`, which is above 0.
    fn number(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(bound.unsigned_abs().max(1))).unwrap_or_default()
    }
}

/// The jobs of the day and of a few days before it, in the order of their time.
pub(super) fn jobs(seed: u64, count: u32) -> Vec<Job> {
    let mut plan = Plan { lots: Lots::new(seed), jobs: Vec::new() };
    plan.history();
    plan.faults();
    while plan.jobs.iter().filter(|job| job.days_before == 0).count() < count as usize {
        plan.ordinary();
    }
    let mut jobs = plan.jobs;
    jobs.sort_by_key(|job| (std::cmp::Reverse(job.days_before), job.step, job.task_id.clone()));
    jobs
}

struct Plan {
    lots: Lots,
    jobs: Vec<Job>,
}

impl Plan {
    /// The user whose day is far above its usual has a usual.
    fn history(&mut self) {
        for days_before in 1..=4 {
            for step in [36, 60] {
                let job = self.job(FIRST_USER + 2, DEV, Fate::Completes, step);
                let last = self.jobs.len() - 1;
                self.jobs[last] = Job { days_before, ..job };
            }
        }
    }

    /// What the audit is to find.
    fn faults(&mut self) {
        let one = |plan: &mut Self, user: i64, model: usize, fate: Fate| {
            let step = plan.step();
            plan.job(FIRST_USER + user, model, fate, step);
        };
        for _ in 0..6 {
            one(self, 2, SORA, Fate::Completes);
        }
        for model in [SORA, SORA, SORA, SORA, PRO, PRO, PRO] {
            one(self, 6, model, Fate::Fails);
        }
        for user in [1, 4, 8] {
            one(self, user, SORA, Fate::FailsYetBilled);
        }
        for user in [3, 9] {
            one(self, user, DEV, Fate::Free);
        }
        for user in [0, 5, 7, 10] {
            one(self, user, PRO, Fate::Misreported);
        }
        one(self, 11, SORA, Fate::TooCheap);
        one(self, 5, SORA, Fate::NeverSettled);
        one(self, 8, SORA, Fate::Stuck);
        one(self, 0, SCHNELL, Fate::Stuck);
    }

    fn ordinary(&mut self) {
        let mut lot = self.lots.below(MODELS.iter().map(|model| model.weight).sum());
        let model = MODELS.iter().position(|model| {
            let is_drawn = lot < model.weight;
            lot = lot.saturating_sub(model.weight);
            is_drawn
        });
        let model = model.unwrap_or(SCHNELL);
        let user = FIRST_USER + self.lots.number(USERS);
        let fate = match self.lots.below(100) {
            _ if model == KOKORO => Fate::Unbilled,
            0..4 => Fate::Fails,
            _ => Fate::Completes,
        };
        let step = self.step();
        self.job(user, model, fate, step);
    }

    /// A step of the day; most people are awake in the afternoon.
    fn step(&mut self) -> u32 {
        let steps = i64::from(DAY_SECONDS / STEP_SECONDS);
        let sum: i64 = (0..3).map(|_| self.lots.number(steps)).sum();
        u32::try_from((sum / 3 + steps / 8).min(steps - 1)).unwrap_or_default()
    }

    fn job(&mut self, user_id: i64, model: usize, fate: Fate, step: u32) -> Job {
        let number = self.jobs.len() + 1;
        let model = &MODELS[model];
        let (from, to, by) = model.units;
        let milli_units = from + self.lots.number((to - from) / by + 1) * by;
        let mut job = Job {
            task_id: format!("task-{number:04}"),
            request_id: format!("req-{:08x}", self.lots.next() >> 32),
            user_id,
            model,
            milli_units,
            points: 0,
            days_before: 0,
            step,
            fate,
        };
        let fair = job.cost_nano_usd() / 1_000 * POINTS_PER_USD * MARKUP_PERCENT / 100 / 1_000_000 + 1;
        job.points = match fate {
            Fate::Free => 0,
            Fate::TooCheap => fair / 5 + 1,
            _ => fair,
        };
        self.jobs.push(job.clone());
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_day_and_another_seed_another() {
        let ids = |seed| jobs(seed, 300).into_iter().map(|job| job.request_id).collect::<Vec<_>>();
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        let day = jobs(7, 300);
        assert_eq!(day.iter().filter(|job| job.days_before == 0).count(), 300);
        assert!(day.iter().all(|job| job.step < DAY_SECONDS / STEP_SECONDS));
    }

    #[test]
    fn prices_are_above_cost_but_where_the_fate_says_otherwise() {
        for job in jobs(1, 400) {
            let value = i128::from(job.points) * 2_500_000;
            let is_below = value < i128::from(job.cost_nano_usd());
            assert_eq!(is_below, matches!(job.fate, Fate::Free | Fate::TooCheap), "{job:?}");
        }
    }

    #[test]
    fn units_are_written_as_decimals() {
        let job = jobs(1, 1).remove(0);
        let units = |milli_units| Job { milli_units, ..job.clone() }.units();
        assert_eq!((units(1_000), units(1_250), units(1_500)), ("1".into(), "1.25".into(), "1.5".into()));
    }
}
