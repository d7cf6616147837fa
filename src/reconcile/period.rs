//! Which periods a run may have.

use crate::ledger::{FieldViolation, Micros, Rejection};

/// The longest period: a leap year.
const MOST_DAYS: i64 = 366;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// The period, its end `now` if none is given.
///
/// # Errors
/// INVALID_FIELD for a start that is missing, an end that is not after it or too far after it, and for what lies in the
/// future.
pub(super) fn check(
    start: Option<Micros>,
    end: Option<Micros>,
    now: Micros,
) -> Result<(Micros, Micros), Rejection> {
    let mut violations = Vec::new();
    let mut wrong = |field, why: String| violations.push(FieldViolation::new(field, why));
    let Some(start) = start else { return Err(Rejection::field("start_time", "must be given")) };
    if start > now {
        wrong("start_time", "must not lie in the future".to_owned());
    }
    let until = end.unwrap_or(now);
    if until > now {
        wrong("end_time", "must not lie in the future".to_owned());
    } else if until <= start {
        wrong("end_time", "must be after start_time".to_owned());
    } else if until > start.plus(MOST_DAYS * DAY_MICROS) {
        wrong("end_time", format!("must be at most {MOST_DAYS} days after start_time"));
    }
    if violations.is_empty() { Ok((start, until)) } else { Err(Rejection::InvalidField(violations)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_000 * DAY_MICROS);

    fn wrong(start: i64, end: Option<i64>) -> Vec<&'static str> {
        match check(Some(Micros(start)), end.map(Micros), NOW) {
            Err(Rejection::InvalidField(violations)) => violations.iter().map(|wrong| wrong.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_period_ends_now_if_nothing_is_said_and_may_end_now_if_it_is() {
        let start = Micros(999 * DAY_MICROS);
        assert_eq!(check(Some(start), None, NOW), Ok((start, NOW)));
        assert_eq!(check(Some(start), Some(NOW), NOW), Ok((start, NOW)));
        let year = NOW.plus(-MOST_DAYS * DAY_MICROS);
        assert_eq!(check(Some(year), None, NOW), Ok((year, NOW)), "366 days are not too long");
    }

    #[test]
    fn what_is_no_period_is_named_by_its_field() {
        let yesterday = 999 * DAY_MICROS;
        assert_eq!(wrong(yesterday, Some(yesterday)), ["end_time"]);
        assert_eq!(wrong(yesterday, Some(yesterday - 1)), ["end_time"]);
        assert_eq!(wrong(yesterday, Some(NOW.0 + 1)), ["end_time"]);
        assert_eq!(wrong(NOW.0 - MOST_DAYS * DAY_MICROS - 1, None), ["end_time"]);
        assert_eq!(wrong(NOW.0 + 1, None), ["start_time", "end_time"]);
        assert!(check(None, None, NOW).is_err());
    }
}
