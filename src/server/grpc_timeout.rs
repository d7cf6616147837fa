//! The `grpc-timeout` header, read strictly as the protocol writes it: 1 to 8 digits and one unit.
//!
//! Zero is not a "positive integer", yet widely used clients send `0n` for a deadline that has passed on the way;
//! it is taken for just that. Everything else off the grammar is an error: a deadline silently ignored is a call
//! that runs on after its caller has given up.

use std::time::Duration;

use http::HeaderMap;

/// The header is there and is not what the protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The client's timeout, if it gave one.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let mut values = headers.get_all("grpc-timeout").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed);
    }
    parse(value.as_bytes()).map(Some)
}

fn parse(text: &[u8]) -> Result<Duration, Malformed> {
    let (&unit, digits) = text.split_last().ok_or(Malformed)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    // Eight digits: at most 99,999,999, which hours take to under 2^39 seconds.
    let count = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Ok(Duration::from_secs(count * 3_600)),
        b'M' => Ok(Duration::from_secs(count * 60)),
        b'S' => Ok(Duration::from_secs(count)),
        b'm' => Ok(Duration::from_millis(count)),
        b'u' => Ok(Duration::from_micros(count)),
        b'n' => Ok(Duration::from_nanos(count)),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_unit_is_read() {
        let cases = [
            ("1H", Duration::from_secs(3_600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("00000007S", Duration::from_secs(7)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
            ("0n", Duration::ZERO),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_off_the_grammar_is_malformed() {
        let cases: [&[u8]; 12] = [
            b"",
            b"S",
            b"1",
            b"1s",
            b"1h",
            b"123456789S",
            b"-1S",
            b"+1S",
            b"1.5S",
            b" 1S",
            b"1S ",
            b"\xff1S",
        ];
        for text in cases {
            assert_eq!(parse(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn absent_is_no_timeout_and_twice_is_malformed() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Ok(None));
        headers.append("grpc-timeout", HeaderValue::from_static("1S"));
        assert_eq!(read(&headers), Ok(Some(Duration::from_secs(1))));
        headers.append("grpc-timeout", HeaderValue::from_static("2S"));
        assert_eq!(read(&headers), Err(Malformed));
    }
}
