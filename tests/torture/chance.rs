//! Chance from the seed: each part of a run draws from a stream of its own, so that what one part draws shifts nothing
//! for the others.

use std::time::Duration;

/// The numbers of SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
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
        let width = most.abs_diff(least).saturating_add(1);
        least.saturating_add_unsigned(self.number() % width)
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

    /// One of these by its weight.
    pub(crate) fn weighted<T: Clone>(&mut self, choices: &[(u32, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = self.number() % total.max(1);
        for (weight, choice) in choices {
            match at.checked_sub(u64::from(*weight)) {
                None => return choice.clone(),
                Some(left) => at = left,
            }
        }
        choices[0].1.clone()
    }

    pub(crate) fn millis(&mut self, least: i64, most: i64) -> Duration {
        Duration::from_millis(self.between(least, most).unsigned_abs())
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Ranks from 1 on, of which the first is drawn most, the second half as often, and so on.
#[derive(Clone, Debug)]
pub(crate) struct Zipf(Vec<u64>);

impl Zipf {
    pub(crate) fn new(ranks: i64) -> Self {
        let mut sum = 0;
        let sums = (1..=ranks.unsigned_abs().max(1)).map(|rank| {
            sum += 1_000_000_000 / rank;
            sum
        });
        Self(sums.collect())
    }

    pub(crate) fn draw(&self, chance: &mut Chance) -> i64 {
        let at = chance.number() % self.0.last().copied().unwrap_or(1);
        let rank = self.0.partition_point(|&sum| sum <= at) + 1;
        i64::try_from(rank).expect("a rank")
    }
}
