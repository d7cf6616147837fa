//! Figures as people read them: exact, in groups of three digits, without a float.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::audit::{Micros, Rate};

/// Decimals of a nano-dollar.
const NANO_PLACES: usize = 9;

/// The least decimals of an amount of dollars.
const LEAST_PLACES: usize = 2;

/// What the value of points is rounded to when printed, in nano-USD: 0.0001 USD. Costs are printed to the last digit.
const ROUND_TO: i128 = 100_000;

/// A number with a comma before every three digits: `-1,234,567`.
pub(super) fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", group(&number.unsigned_abs().to_string()))
}

fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        let to_go = digits.len().saturating_sub(at);
        if at > 0 && to_go.is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The nine decimals of a number of 10⁻⁹ units, and what is before them.
fn split(nano: i128) -> (String, String) {
    const UNIT: u128 = 1_000_000_000;
    let magnitude = nano.unsigned_abs();
    let whole = magnitude.checked_div(UNIT).unwrap_or_default();
    let rest = magnitude.checked_rem(UNIT).unwrap_or_default();
    let sign = if nano < 0 { "-" } else { "" };
    (format!("{sign}{}", group(&whole.to_string())), format!("{rest:0NANO_PLACES$}"))
}

/// How many decimals an amount of nano-USD needs; two at least.
pub(super) fn places(nano_usd: i128) -> usize {
    split(nano_usd).1.trim_end_matches('0').len().max(LEAST_PLACES)
}

/// An amount of nano-USD in dollars, with `places` decimals: no fewer than [`places`] of it, or digits are lost.
pub(super) fn usd_to(nano_usd: i128, places: usize) -> String {
    let (whole, decimals) = split(nano_usd);
    let decimals = decimals.get(..places.min(NANO_PLACES)).unwrap_or_default();
    format!("{whole}.{decimals}")
}

/// An amount of nano-USD in dollars, to its last digit: `1,234.50`, `0.09024`.
pub(super) fn usd(nano_usd: i128) -> String {
    usd_to(nano_usd, places(nano_usd))
}

/// A value of points in nano-USD, rounded to 0.0001 USD, a half away from zero.
pub(super) fn rounded(nano_usd: i128) -> i128 {
    let half = ROUND_TO / 2 * nano_usd.signum();
    let steps = nano_usd.saturating_add(half).checked_div(ROUND_TO).unwrap_or_default();
    steps.saturating_mul(ROUND_TO)
}

/// A number of 10⁻⁹ units, without trailing zeros: `1,203`, `0.5`.
pub(super) fn units(units_nano: i128) -> String {
    let (whole, decimals) = split(units_nano);
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() { whole } else { format!("{whole}.{decimals}") }
}

/// A rate: a decimal where it is one of nine places at most, else the fraction.
pub(super) fn rate(rate: Rate) -> String {
    const UNIT: i128 = 1_000_000_000;
    let (numerator, denominator) = rate.parts();
    let (nano, denominator) = (i128::from(numerator).saturating_mul(UNIT), i128::from(denominator));
    match (nano.checked_rem(denominator), nano.checked_div(denominator)) {
        (Some(0), Some(quotient)) => units(quotient),
        _ => format!("{numerator}/{denominator}"),
    }
}

/// A share in percent with one decimal, a half away from zero; `None` of nothing.
pub(super) fn percent(part: i128, whole: i128) -> Option<String> {
    let magnitude = whole.checked_abs().filter(|whole| *whole > 0)?;
    let sign = part.signum().saturating_mul(whole.signum());
    let part = part.saturating_abs();
    let permille = if let Some(scaled) = part.checked_mul(1_000) {
        scaled.checked_add(magnitude / 2)?.checked_div(magnitude)?
    } else {
        // Thirty-five digits and more: the last of them make no tenth of a percent.
        part.checked_div(magnitude.checked_div(1_000)?.max(1))?
    };
    let sign = if sign < 0 && permille > 0 { "-" } else { "" };
    let (whole, tenth) = (permille.checked_div(10)?, permille.checked_rem(10)?);
    Some(format!("{sign}{}.{tenth}%", grouped(whole)))
}

/// A moment as RFC 3339, UTC; of a year that RFC 3339 cannot tell, as a report prints it.
pub(super) fn rfc3339(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// A moment as a report's head tells it: by the clock of the zone, and how far that is from UTC.
pub(super) fn moment(at: Micros, zone: &TimeZone) -> String {
    match Timestamp::from_microsecond(at.0) {
        Ok(time) if *zone != TimeZone::UTC => {
            time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        }
        _ => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_to_the_nano_and_grouped() {
        assert_eq!(usd(0), "0.00");
        assert_eq!(usd(90_240_000), "0.09024");
        assert_eq!(usd(1_234_500_000_000), "1,234.50");
        assert_eq!(usd(-1), "-0.000000001");
        assert_eq!(usd(-1_000_000_000_000), "-1,000.00");
        assert_eq!(usd(i128::MIN), "-170,141,183,460,469,231,731,687,303,715.884105728");
        assert_eq!((places(5_000_000), usd_to(5_000_000, 6)), (3, "0.005000".into()));
    }

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        let cases =
            [(0, "0"), (999, "999"), (1_000, "1,000"), (-123_456, "-123,456"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
        assert!(grouped(i128::MIN).starts_with("-170,141,"));
    }

    #[test]
    fn values_of_points_are_rounded_half_away_from_zero() {
        let cases =
            [(49_999, 0), (50_000, 100_000), (-50_000, -100_000), (-49_999, 0), (123_450_000, 123_500_000)];
        for (nano, expected) in cases {
            assert_eq!(rounded(nano), expected, "{nano}");
        }
        assert!(rounded(i128::MAX) > 0 && rounded(i128::MIN) < 0);
    }

    #[test]
    fn rates_are_decimals_where_they_can_be() {
        let of = |numerator, denominator| rate(Rate::new(numerator, denominator).expect("positive"));
        assert_eq!(of(400, 1), "400");
        assert_eq!(of(71_823, 100), "718.23");
        assert_eq!(of(1, 3), "1/3");
    }

    #[test]
    fn shares_have_one_decimal_and_a_sign() {
        assert_eq!(percent(1, 3).as_deref(), Some("33.3%"));
        assert_eq!(percent(-1, 2).as_deref(), Some("-50.0%"));
        assert_eq!(percent(1, -2).as_deref(), Some("-50.0%"));
        assert_eq!(percent(2, 3).as_deref(), Some("66.7%"));
        assert_eq!(percent(20_000, 1).as_deref(), Some("2,000,000.0%"));
        assert_eq!(percent(1, 0), None);
        assert_eq!(percent(-1, 1_000_000).as_deref(), Some("0.0%"));
        assert_eq!(percent(i128::MAX, i128::MAX).as_deref(), Some("100.0%"));
    }

    #[test]
    fn units_have_no_more_digits_than_they_need() {
        assert_eq!(
            (units(1_203_000_000_000), units(500_000_000), units(-1)),
            ("1,203".into(), "0.5".into(), "-0.000000001".into())
        );
    }

    #[test]
    fn the_head_tells_times_by_the_clock_of_the_zone() {
        let midnight = Micros(1_769_875_200_000_000);
        let shanghai = TimeZone::get("Asia/Shanghai").expect("a zone");
        assert_eq!(moment(midnight, &shanghai), "2026-02-01 00:00:00 +08:00");
        assert_eq!(moment(midnight, &TimeZone::UTC), "2026-01-31 16:00:00 UTC");
        assert_eq!(moment(midnight, &TimeZone::get("UTC").expect("a zone")), "2026-01-31 16:00:00 UTC");
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(rfc3339(Micros(1_500_000)), "1970-01-01T00:00:01.5Z");
        assert!(rfc3339(Micros(i64::MAX)).ends_with("UTC"));
    }
}
