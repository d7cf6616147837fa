//! Money and quantities as fal writes them: decimal text, read exactly and never through a float.
//!
//! Both types read the same grammar, JSON's numbers (`38.8`, `8.439999999999998`, `1e-3`), however many digits there
//! are. What does not fit the places of a type is **rounded half to even** in one step from the text, so that the
//! expansion of a float (`0.1000000000000000055…`) comes out as the number that was meant. What does not fit the
//! range is an error, never a clamped value.

use std::fmt;
use std::str::FromStr;

/// Places after the point that a [`Decimal`] keeps.
const PLACES: u8 = 18;
/// The least magnitude that a [`Decimal`] does not hold, in units of its last place: 10^18 × 10^18.
const LIMIT: u128 = 10u128.pow(36);
/// Places of a nano-USD.
const NANO: u8 = 9;

/// Why a text is not a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    Malformed,
    /// Beyond what the type holds.
    #[error("a number out of range")]
    OutOfRange,
}

/// US dollars in units of 10^-9, as the ledger keeps upstream money. May be negative: fal's word is not judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// From a text in whole nano-USD, as in `cost_estimate_nano_usd`.
    ///
    /// # Errors
    /// When the text is no number or the amount does not fit.
    pub fn from_nano_text(text: &str) -> Result<Self, DecimalError> {
        narrow(fixed(text, 0)?)
    }
}

impl FromStr for NanoUsd {
    type Err = DecimalError;

    /// From a text in dollars.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        narrow(fixed(text, NANO)?)
    }
}

fn narrow(units: i128) -> Result<NanoUsd, DecimalError> {
    i64::try_from(units).map(NanoUsd).map_err(|_| DecimalError::OutOfRange)
}

/// An exact decimal of at most 18 places, below 10^18: quantities, unit prices, percentages.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// The digits; together with `scale` in lowest terms, so that equal numbers are equal values.
    digits: i128,
    /// How many of the digits are after the point.
    scale: u8,
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Decimal = Decimal { digits: 0, scale: 0 };

    /// `digits` × 10^-`scale`, brought to at most 18 places.
    fn new(mut digits: i128, mut scale: u8) -> Result<Self, DecimalError> {
        if scale > PLACES {
            digits = divide(digits, scale - PLACES);
            scale = PLACES;
        }
        while scale > 0 && digits % 10 == 0 {
            (digits, scale) = (digits / 10, scale - 1);
        }
        let widest = 10u128.pow(u32::from(PLACES - scale));
        match digits.unsigned_abs().checked_mul(widest) {
            Some(magnitude) if magnitude < LIMIT => Ok(Self { digits, scale }),
            _ => Err(DecimalError::OutOfRange),
        }
    }

    /// The product; `None` where it does not fit.
    #[must_use]
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        let digits = self.digits.checked_mul(other.digits)?;
        Decimal::new(digits, self.scale + other.scale).ok()
    }

    /// The sum; `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        let at = |value: Decimal| value.digits.checked_mul(10i128.pow(u32::from(scale - value.scale)));
        Decimal::new(at(self)?.checked_add(at(other)?)?, scale).ok()
    }

    /// The same number below zero.
    #[must_use]
    pub fn negated(self) -> Decimal {
        Decimal { digits: -self.digits, scale: self.scale }
    }

    /// These dollars in nano-USD; `None` where they do not fit.
    pub fn to_nano_usd(self) -> Option<NanoUsd> {
        let units = match self.scale.checked_sub(NANO) {
            Some(excess) => divide(self.digits, excess),
            None => self.digits.checked_mul(10i128.pow(u32::from(NANO - self.scale)))?,
        };
        narrow(units).ok()
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Decimal::new(fixed(text, PLACES)?, PLACES)
    }
}

impl fmt::Display for Decimal {
    /// Plain digits without an exponent: `8.439999999999998`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let unit = 10u128.pow(u32::from(self.scale));
        let magnitude = self.digits.unsigned_abs();
        write!(f, "{sign}{}", magnitude / unit)?;
        if self.scale > 0 {
            write!(f, ".{:0width$}", magnitude % unit, width = usize::from(self.scale))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `digits` / 10^`places`, half to even.
fn divide(digits: i128, places: u8) -> i128 {
    let unit = 10i128.pow(u32::from(places));
    let (whole, rest) = (digits / unit, (digits % unit).abs());
    let up = match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    if up { whole + digits.signum() } else { whole }
}

/// A number's parts: its sign, its digits without leading zeros, and where the point is among them.
struct Parts {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

fn parts(text: &str) -> Option<Parts> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = match rest.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, power(exponent)?),
        None => (rest, 0),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zeros = whole.bytes().chain(fraction.bytes()).take_while(|byte| *byte == b'0').count();
    let digits = whole.bytes().chain(fraction.bytes()).skip(zeros).map(|byte| byte - b'0').collect();
    let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
    Some(Parts { negative, digits, point: point.saturating_add(exponent) })
}

/// An exponent; one beyond any use is held where it still means "far too much" or "nothing".
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    const FAR: i64 = 1 << 40;
    let magnitude = digits.parse::<i64>().unwrap_or(FAR).min(FAR);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// The number in units of 10^-`places`, half to even.
fn fixed(text: &str, places: u8) -> Result<i128, DecimalError> {
    let Parts { negative, digits, point } = parts(text).ok_or(DecimalError::Malformed)?;
    if digits.is_empty() {
        return Ok(0);
    }
    // So many of the digits stand before the unit's point; with fewer than none, it is less than a tenth of a unit.
    let Ok(kept) = usize::try_from(point.saturating_add(i64::from(places))) else { return Ok(0) };
    if kept > 38 {
        return Err(DecimalError::OutOfRange);
    }
    let mut units = 0i128;
    for at in 0..kept {
        units = units * 10 + i128::from(digits.get(at).copied().unwrap_or(0));
    }
    let dropped = digits.get(kept..).unwrap_or_default();
    let up = match dropped.split_first() {
        Some((5, rest)) if rest.iter().all(|digit| *digit == 0) => units % 2 != 0,
        Some((first, _)) => *first >= 5,
        None => false,
    };
    units += i128::from(up);
    Ok(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nano(text: &str) -> i64 {
        text.parse::<NanoUsd>().unwrap().0
    }

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn dollars_are_read_to_the_last_nano() {
        for (text, expected) in [
            ("38.8", 38_800_000_000),
            ("8.439999999999998", 8_440_000_000),
            ("0.09024", 90_240_000),
            ("1e-3", 1_000_000),
            ("1E-9", 1),
            ("2.5e+2", 250_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("1e-999999999999999999999", 0),
            ("-1.5", -1_500_000_000),
            ("9223372036.854775807", i64::MAX),
            ("-9223372036.854775808", i64::MIN),
            ("0.1000000000000000055511151231257827021181583404541015625", 100_000_000),
            ("00000000000000000000000000000000000000000000000000001.5", 1_500_000_000),
        ] {
            assert_eq!(nano(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_a_nano_is_rounded_half_to_even_in_one_step() {
        for (text, expected) in [
            ("0.0000000005", 0),
            ("0.0000000015", 2),
            ("0.0000000025", 2),
            ("-0.0000000015", -2),
            ("0.00000000049999999999999999999999999999999999", 0),
            // A tie but for a digit far behind it: no tie.
            ("0.000000000500000000000000000000000000000000000000001", 1),
            ("0.0000000009", 1),
            ("0.00000000009", 0),
        ] {
            assert_eq!(nano(text), expected, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_a_clamped_amount() {
        for text in
            ["9223372036.854775808", "-9223372036.854775809", "1e11", "1e400", "1e99999999999999999999"]
        {
            assert_eq!(text.parse::<NanoUsd>(), Err(DecimalError::OutOfRange), "{text}");
        }
        for text in ["1e18", "-1e18", "999999999999999999.9999999999999999999", "1e400"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::OutOfRange), "{text}");
        }
        assert_eq!(NanoUsd::from_nano_text("1e19"), Err(DecimalError::OutOfRange));
        assert_eq!(NanoUsd::from_nano_text("45000000"), Ok(NanoUsd(45_000_000)));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", ".5", "5.", "1e", "1e+", "1.2.3", "0x10", "١", "NaN", "1 ", "--1", "1e1e1", "+1"]
        {
            assert_eq!(text.parse::<NanoUsd>(), Err(DecimalError::Malformed), "{text:?}");
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn quantities_keep_every_digit_and_print_as_plain_decimals() {
        for (text, shown) in [
            ("8.439999999999998", "8.439999999999998"),
            ("1e-3", "0.001"),
            ("-2.50", "-2.5"),
            ("1000", "1000"),
            ("1.5e3", "1500"),
            ("-0.0", "0"),
            ("999999999999999999", "999999999999999999"),
            ("0.0000000000000000005", "0"),
        ] {
            assert_eq!(decimal(text).to_string(), shown, "{text}");
        }
        assert_eq!(decimal("1.50"), decimal("15e-1"));
    }

    #[test]
    fn units_times_price_is_what_a_pocket_calculator_says() {
        let cost = |units: &str, price: &str| decimal(units).checked_mul(decimal(price)).unwrap();
        assert_eq!(cost("3.008", "0.03").to_nano_usd(), Some(NanoUsd(90_240_000)));
        assert_eq!(cost("8.439999999999998", "0.025").to_string(), "0.21099999999999995");
        assert_eq!(cost("0.00000000005", "10").to_nano_usd(), Some(NanoUsd(0)));
        assert_eq!(decimal("0.5").checked_add(decimal("0.08").negated()), Some(decimal("0.42")));
        assert_eq!(decimal("1e17").checked_mul(decimal("100")), None);
        assert_eq!(decimal("1e17").to_nano_usd(), None);
    }
}
