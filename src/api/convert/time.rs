//! Moments and durations. scrip keeps whole microseconds, the wire has nanoseconds: each reading rounds so that the
//! answer is exactly the one the nanoseconds ask for, since nothing is stored between two microseconds.

use prost_types::{Duration, Timestamp};

use crate::engine::rows::Range;
use crate::ledger::Micros;
use crate::ledger::limits::Checks;

const SECOND_MICROS: i64 = 1_000_000;
const SECOND_NANOS: i32 = 1_000_000_000;
const MICRO_NANOS: i32 = 1_000;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what a Timestamp may be.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// The last microsecond of them.
const LAST: Micros = Micros(253_402_300_799_999_999);
/// About 10,000 years: what a Duration may be.
const DURATION_SECONDS: i64 = 315_576_000_000;

/// A stored moment for the wire.
pub(super) fn timestamp(Micros(micros): Micros) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(SECOND_MICROS)).unwrap_or_default() * MICRO_NANOS;
    Timestamp { seconds: micros.div_euclid(SECOND_MICROS), nanos }
}

/// "At or before this": rounded down.
pub(super) fn until(field: &'static str, time: Option<Timestamp>, checks: &mut Checks<'_>) -> Option<Micros> {
    valid(field, time, checks).map(|time| down(time.seconds, time.nanos))
}

/// [start, end): both rounded up.
pub(super) fn range(start: Option<Timestamp>, end: Option<Timestamp>, checks: &mut Checks<'_>) -> Range {
    let start = valid("start_time", start, checks);
    let end = valid("end_time", end, checks);
    if let (Some(start), Some(end)) = (start, end)
        && (start.seconds, start.nanos) > (end.seconds, end.nanos)
    {
        checks.violation("start_time", "must not be after end_time");
    }
    let bound = |time: Timestamp| up(time.seconds, time.nanos).min(LAST);
    Range { start: start.map(bound), end: end.map(bound) }
}

/// A length of time in microseconds, a begun one in full: so what is above 0 stays so, and so does what is too long.
pub(super) fn micros(
    field: &'static str,
    duration: Option<Duration>,
    checks: &mut Checks<'_>,
) -> Option<i64> {
    let Duration { seconds, nanos } = duration?;
    let opposed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    let in_range =
        (-DURATION_SECONDS..=DURATION_SECONDS).contains(&seconds) && nanos.abs_diff(0) < SECOND_NANOS as u32;
    if opposed || !in_range {
        checks.violation(field, "must be a valid duration: nanos below 10^9, of the sign of its seconds");
        return None;
    }
    Some(up(seconds, nanos).0)
}

fn valid(field: &'static str, time: Option<Timestamp>, checks: &mut Checks<'_>) -> Option<Timestamp> {
    let time = time?;
    if !SECONDS.contains(&time.seconds) {
        checks.violation(field, "must be in the years 1 to 9999");
        return None;
    }
    if !(0..SECOND_NANOS).contains(&time.nanos) {
        checks.violation(field, "must have nanos of 0 to 999999999");
        return None;
    }
    Some(time)
}

/// Both are only given what was found in range: far from the ends of an `i64`.
fn down(seconds: i64, nanos: i32) -> Micros {
    Micros(seconds * SECOND_MICROS + i64::from(nanos.div_euclid(MICRO_NANOS)))
}

fn up(seconds: i64, nanos: i32) -> Micros {
    down(seconds, nanos).plus(i64::from(nanos.rem_euclid(MICRO_NANOS) != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Limits;

    fn noted<T>(read: impl FnOnce(&mut Checks<'_>) -> T) -> (T, Vec<&'static str>) {
        let limits = Limits::default();
        let mut checks = Checks::new(&limits);
        let value = read(&mut checks);
        let fields =
            checks.finish().err().unwrap_or_default().iter().map(|violation| violation.field).collect();
        (value, fields)
    }

    const fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos })
    }

    #[test]
    fn stored_moments_read_back() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000, LAST.0] {
            let (read, fields) = noted(|checks| until("as_of_time", Some(timestamp(Micros(micros))), checks));
            assert_eq!((read, fields), (Some(Micros(micros)), vec![]));
        }
    }

    #[test]
    fn nanoseconds_round_to_the_rows_they_ask_for() {
        // A row at 1 µs: at or before 1.5 µs, not in [1.5 µs, …), in […, 1.5 µs).
        assert_eq!(noted(|checks| until("as_of_time", at(0, 1_500), checks)).0, Some(Micros(1)));
        let (found, fields) = noted(|checks| range(at(0, 1_500), at(0, 1_501), checks));
        assert_eq!(found, Range { start: Some(Micros(2)), end: Some(Micros(2)) });
        assert!(fields.is_empty());
        let (last, _) = noted(|checks| range(None, at(253_402_300_799, 999_999_999), checks));
        assert_eq!(last.end, Some(LAST));
    }

    #[test]
    fn what_is_no_moment_is_noted() {
        for time in
            [at(0, -1), at(0, 1_000_000_000), at(-62_135_596_801, 0), at(253_402_300_800, 0), at(i64::MIN, 0)]
        {
            assert_eq!(noted(|checks| until("as_of_time", time, checks)), (None, vec!["as_of_time"]));
            assert_eq!(noted(|checks| range(time, time, checks)).1, ["start_time", "end_time"]);
        }
        assert_eq!(noted(|checks| range(at(1, 1), at(1, 0), checks)).1, ["start_time"]);
        assert!(noted(|checks| range(at(1, 1), at(1, 1), checks)).1.is_empty());
    }

    #[test]
    fn durations_count_begun_microseconds_and_must_be_valid() {
        let ttl = |seconds, nanos| noted(|checks| micros("ttl", Some(Duration { seconds, nanos }), checks));
        assert_eq!(ttl(0, 1), (Some(1), vec![]));
        assert_eq!(ttl(3, 500_000_000), (Some(3_500_000), vec![]));
        assert_eq!(ttl(-1, -500), (Some(-1_000_000), vec![]));
        for (seconds, nanos) in [(1, -1), (-1, 1), (0, 1_000_000_000), (0, i32::MIN), (i64::MAX, 0)] {
            assert_eq!(ttl(seconds, nanos), (None, vec!["ttl"]));
        }
    }
}
