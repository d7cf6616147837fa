//! What points are worth in the provider's money, exactly.

use serde::{Deserialize, Serialize};

/// Points (fen) that a US dollar is worth, as a fraction: 718.23 is 71823/100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Rate {
    numerator: u32,
    denominator: u32,
}

/// A rate as it is stored.
#[derive(Deserialize)]
struct Parts {
    numerator: u32,
    denominator: u32,
}

impl TryFrom<Parts> for Rate {
    type Error = &'static str;

    fn try_from(Parts { numerator, denominator }: Parts) -> Result<Self, Self::Error> {
        Self::new(numerator, denominator).ok_or("a rate is positive")
    }
}

/// Nano-USD of a dollar.
const NANO: i128 = 1_000_000_000;

impl Rate {
    /// A rate; `None` unless both parts are positive.
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if numerator == 0 || denominator == 0 { None } else { Some(Self { numerator, denominator }) }
    }

    /// The two parts, as given.
    pub const fn parts(self) -> (u32, u32) {
        (self.numerator, self.denominator)
    }

    /// Whether `points` are worth less than a cost, exactly: nothing is rounded.
    pub fn is_below(self, points: i128, cost_nano_usd: i128) -> bool {
        // points ÷ (numerator ÷ denominator) < cost ÷ 10⁹, multiplied out.
        let value = points.saturating_mul(NANO).saturating_mul(self.denominator.into());
        value < cost_nano_usd.saturating_mul(self.numerator.into())
    }

    /// What points are worth, in nano-USD, rounded to the nearest; a half away from zero. Round sums, never sum what
    /// was rounded.
    pub fn nano_usd(self, points: i128) -> i128 {
        let numerator = i128::from(self.numerator);
        let unit = NANO.saturating_mul(self.denominator.into());
        // Whole multiples first, so that no sum of points overflows on its way.
        let whole = points.checked_div(numerator).unwrap_or_default().saturating_mul(unit);
        let rest = points.checked_rem(numerator).unwrap_or_default().saturating_mul(unit);
        whole.saturating_add(divide_to_nearest(rest, numerator))
    }
}

/// A quotient rounded to the nearest, a half away from zero; `by` is positive.
fn divide_to_nearest(value: i128, by: i128) -> i128 {
    let half = by.checked_div(2).unwrap_or_default();
    let magnitude = value.saturating_abs().saturating_add(half);
    magnitude.checked_div(by).unwrap_or_default().saturating_mul(value.signum())
}

/// The two rates of the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// What quotes are priced with. Default 400.
    pub points_per_usd: Rate,
    /// What a dollar really costs the operator, in fen: it values revenue, margins and B5. Default as the other.
    pub fen_per_usd: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        let usual = Rate { numerator: 400, denominator: 1 };
        Self { points_per_usd: usual, fen_per_usd: usual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_valued_to_the_nearest_nano_dollar() {
        let rate = Rate::new(400, 1).expect("positive");
        assert_eq!(rate.nano_usd(400), 1_000_000_000);
        assert_eq!(rate.nano_usd(1), 2_500_000);
        let dear = Rate::new(4_000_000_000, 1).expect("positive");
        assert_eq!((dear.nano_usd(1), dear.nano_usd(2), dear.nano_usd(-2)), (0, 1, -1), "0.25, 0.5, −0.5");
        assert_eq!(Rate::new(71_823, 100).expect("positive").nano_usd(71_823), 100_000_000_000);
        assert_eq!((Rate::new(0, 1), Rate::new(1, 0)), (None, None));
    }

    #[test]
    fn a_comparison_rounds_nothing() {
        let rate = Rate::new(1, 3).expect("positive");
        // One point is three dollars.
        assert!(!rate.is_below(1, 3_000_000_000));
        assert!(rate.is_below(1, 3_000_000_001));
        assert!(!rate.is_below(0, 0) && rate.is_below(0, 1));
    }

    #[test]
    fn the_largest_amounts_do_not_overflow() {
        let dear = Rate::new(u32::MAX, u32::MAX).expect("positive");
        let most = i128::from(i64::MAX);
        assert!(!dear.is_below(most, most) && dear.is_below(0, most));
        assert_eq!(dear.nano_usd(most), most.saturating_mul(NANO));
        assert!(Rate::new(1, u32::MAX).expect("positive").nano_usd(i128::MAX) > 0);
    }
}
