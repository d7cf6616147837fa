//! Moments as the tables hold them: `2026-02-01 09:30:00.000000`, UTC, always 26 characters, so that text order is
//! time order and ORMs read it. Exact both ways between the years 0 and 9999; a moment beyond is held at their end.

use crate::ledger::{Micros, Text};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 0000-01-01 00:00:00.000000
const MIN: i64 = -719_528 * DAY;
/// 9999-12-31 23:59:59.999999
const MAX: i64 = 2_932_897 * DAY - 1;

/// Sorts after every moment: where a list that starts at the newest begins.
pub(super) const PAST_ALL: &str = "~";

/// The text of a moment.
pub(super) fn to_text(moment: Micros) -> Text {
    let micros = moment.0.clamp(MIN, MAX);
    let (days, within) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let seconds = within / SECOND;
    let mut text = *b"0000-00-00 00:00:00.000000";
    for (at, width, number) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, seconds / 3_600),
        (14, 2, seconds / 60 % 60),
        (17, 2, seconds % 60),
        (20, 6, within % SECOND),
    ] {
        digits(&mut text[at..at + width], number);
    }
    Text::from(String::from_utf8_lossy(&text))
}

/// The moment of a text; `None` if it is not exactly such a text.
pub(super) fn from_text(text: &str) -> Option<Micros> {
    let bytes: &[u8; 26] = text.as_bytes().try_into().ok()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b'.')];
    if separators.iter().any(|(at, separator)| bytes[*at] != *separator) {
        return None;
    }
    let (year, month, day) = (number(&bytes[0..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    let (hour, minute, second) = (number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..19])?);
    let days = days_from_civil(year, month, day);
    // 30 February would come back as a day in March.
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    Some(Micros(days * DAY + seconds * SECOND + number(&bytes[20..26])?))
}

/// Writes a batch's moments: nearly all of them are its one `now`, formatted once.
#[derive(Default)]
pub(super) struct Scribe(Option<(Micros, Text)>);

impl Scribe {
    /// The text of a moment.
    pub(super) fn text(&mut self, moment: Micros) -> Text {
        match &self.0 {
            Some((last, text)) if *last == moment => Text::clone(text),
            _ => {
                let text = to_text(moment);
                self.0 = Some((moment, Text::clone(&text)));
                text
            }
        }
    }
}

/// Year, month and day of a count of days since 1970-01-01, by eras of 400 years that begin on 1 March.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// The inverse of [`civil`].
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn digits(place: &mut [u8], mut number: i64) {
    for digit in place.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(&*to_text(Micros(0)), "1970-01-01 00:00:00.000000");
        assert_eq!(&*to_text(Micros(-1)), "1969-12-31 23:59:59.999999");
        assert_eq!(&*to_text(Micros(951_782_400_000_001)), "2000-02-29 00:00:00.000001");
        assert_eq!(&*to_text(Micros(i64::MIN)), "0000-01-01 00:00:00.000000");
        assert_eq!(&*to_text(Micros(i64::MAX)), "9999-12-31 23:59:59.999999");
    }

    #[test]
    fn what_is_not_such_a_text_is_refused() {
        for text in [
            "",
            "2026-02-01 09:30:00",
            "2026-02-01T09:30:00.000000",
            "2026-02-01 09:30:00.00000Z",
            "2026-02-30 00:00:00.000000",
            "2026-13-01 00:00:00.000000",
            "2026-00-01 00:00:00.000000",
            "2026-02-01 24:00:00.000000",
            "2026-02-01 00:60:00.000000",
            "+026-02-01 00:00:00.000000",
            "2026-02-01 00:00:00.00000\u{663}",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_comes_back_as_it_was(micros in MIN..=MAX) {
            let text = to_text(Micros(micros));
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(from_text(&text), Some(Micros(micros)));
            let by_jiff = jiff::Timestamp::from_microsecond(micros).map(|moment| moment.to_string());
            let by_jiff: String = by_jiff.unwrap_or_default().replace('T', " ");
            prop_assert!(by_jiff.starts_with(&text[..19]), "{} is not {}", text, by_jiff);
        }

        #[test]
        fn the_order_of_texts_is_that_of_moments(one in MIN..=MAX, other in MIN..=MAX) {
            prop_assert_eq!(to_text(Micros(one)).cmp(&to_text(Micros(other))), one.cmp(&other));
            prop_assert!(*to_text(Micros(one)) < *PAST_ALL);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,30}") {
            if let Some(moment) = from_text(&text) {
                prop_assert_eq!(&*to_text(moment), text.as_str());
            }
        }
    }
}
