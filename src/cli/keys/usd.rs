//! US dollars as an operator writes them, exactly.

/// Places of a nano-USD.
const PLACES: usize = 9;

/// Reads dollars such as `38.8` or `-0.5` into nano-USD: at most nine places, nothing rounded.
///
/// # Errors
/// What is expected.
pub(super) fn parse(text: &str) -> Result<i64, &'static str> {
    const EXPECTED: &str = "expected US dollars such as 38.8, with at most nine places";
    let (sign, magnitude) = text.strip_prefix('-').map_or((1, text), |magnitude| (-1, magnitude));
    let (whole, places) = magnitude.split_once('.').unwrap_or((magnitude, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(places) || places.len() > PLACES {
        return Err(EXPECTED);
    }
    let digits = format!("{whole}{places:0<PLACES$}");
    let nanos: i64 = digits.parse().map_err(|_| "expected at most some 9 billion US dollars")?;
    Ok(sign * nanos)
}

/// Shows nano-USD as dollars: two places, more where there are more.
pub(super) fn show(nano_usd: i64) -> String {
    let sign = if nano_usd < 0 { "-" } else { "" };
    let magnitude = nano_usd.unsigned_abs();
    let places = format!("{:09}", magnitude % 1_000_000_000);
    let kept = places.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", magnitude / 1_000_000_000, &places[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_shown_exactly() {
        for (text, nano_usd, shown) in [
            ("38.8", 38_800_000_000, "38.80"),
            ("38", 38_000_000_000, "38.00"),
            ("0.000000001", 1, "0.000000001"),
            ("-0.5", -500_000_000, "-0.50"),
            ("8.439999999", 8_439_999_999, "8.439999999"),
            ("0", 0, "0.00"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(parse(text), Ok(nano_usd), "{text}");
            assert_eq!(show(nano_usd), shown);
        }
        assert_eq!(show(i64::MIN), "-9223372036.854775808");
    }

    #[test]
    fn what_would_be_rounded_or_guessed_is_refused() {
        for text in
            ["", "-", ".5", "5.", "1e3", "1,5", "$5", "+5", "--5", "0.0000000001", "9223372036.854775808"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
