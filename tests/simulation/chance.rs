//! Chance from a seed: the only randomness of a simulation, and the clock and ids that are made of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use scrip::clock::{Clock, Ids};
use scrip::ledger::Micros;
use tokio::time::Instant;
use uuid::Uuid;

/// When every simulation begins.
const START: Micros = Micros(1_760_000_000_000_000);
/// As many replicas as there may be at once.
pub(crate) const REPLICAS: usize = 3;

/// The numbers of SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// A stream of its own for each part of a simulation: what one part draws shifts nothing for the others.
    pub(crate) fn stream(seed: u64, part: u64) -> Self {
        let mut chance = Self(seed ^ part.wrapping_mul(0xA24B_AED4_963E_E407));
        chance.number();
        chance
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(&mut self, least: i64, most: i64) -> i64 {
        let width = most.abs_diff(least) + 1;
        least + i64::try_from(self.number() % width).expect("a narrow range")
    }

    /// A place in a list of so many, which is not empty.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.number() % count as u64).expect("below a usize")
    }

    pub(crate) fn is(&mut self, percent: u32) -> bool {
        self.number() % 100 < u64::from(percent)
    }

    pub(crate) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// One of the newest of a list that grows.
    pub(crate) fn recent<T: Clone>(&mut self, grown: &[T], newest: usize) -> Option<T> {
        let newest = newest.min(grown.len());
        (newest > 0).then(|| grown[grown.len() - 1 - self.below(newest)].clone())
    }

    pub(crate) fn millis(&mut self, least: i64, most: i64) -> Duration {
        Duration::from_millis(self.between(least, most).unsigned_abs())
    }
}

/// The wall clock of a simulation: virtual time, steps of the whole, and what each replica's own clock is off by while
/// its batch is judged.
pub(crate) struct SimClock {
    begun: Instant,
    stepped: AtomicI64,
    off: [AtomicI64; REPLICAS],
    /// Whose batch is being judged, from 1; 0 for nobody's.
    judged: AtomicUsize,
}

impl SimClock {
    pub(crate) fn new() -> Self {
        let off = std::array::from_fn(|_| AtomicI64::new(0));
        Self { begun: Instant::now(), stepped: AtomicI64::new(0), off, judged: AtomicUsize::new(0) }
    }

    /// Steps the clock of all, forward or back.
    pub(crate) fn step(&self, micros: i64) {
        self.stepped.fetch_add(micros, Ordering::Relaxed);
    }

    /// Puts one replica's clock off by so much.
    pub(crate) fn put_off(&self, replica: usize, micros: i64) {
        self.off[replica].store(micros, Ordering::Relaxed);
    }

    /// Reads as this replica's clock from now on; `None` as nobody's.
    pub(crate) fn read_as(&self, replica: Option<usize>) {
        self.judged.store(replica.map_or(0, |replica| replica + 1), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Micros {
        let passed = i64::try_from(self.begun.elapsed().as_micros()).expect("a short simulation");
        let judged = self.judged.load(Ordering::Relaxed).checked_sub(1);
        let off = judged.map_or(0, |replica| self.off[replica].load(Ordering::Relaxed));
        START.plus(passed).plus(self.stepped.load(Ordering::Relaxed)).plus(off)
    }
}

/// Ids of one replica, all of them from its stream.
pub(crate) struct SimIds(Mutex<Chance>);

impl SimIds {
    pub(crate) fn new(chance: Chance) -> Self {
        Self(Mutex::new(chance))
    }
}

impl Ids for SimIds {
    fn batch_id(&self) -> Uuid {
        let mut chance = self.0.lock().expect("nobody panics while it draws");
        let (high, low) = (chance.number(), chance.number());
        let mut random = [0; 10];
        random[..8].copy_from_slice(&high.to_le_bytes());
        random[8..].copy_from_slice(&low.to_le_bytes()[..2]);
        // No id is old enough to be forgotten in the time that a simulation takes.
        let millis = u64::try_from(START.0 / 1_000).expect("after the epoch");
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}
