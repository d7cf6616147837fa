//! Which period a command is about, as people say it: dates and times of the operator's zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::ledger::Micros;

const EXPECTED: &str = "expected a date such as 2026-02-01, a time such as 2026-02-01T09:30, or one with its zone such \
                        as 2026-02-01T09:30:00Z";

/// A moment or a day, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum When {
    /// A whole day of the zone.
    Day(Date),
    /// A time of the zone.
    Local(DateTime),
    /// A moment.
    At(Timestamp),
}

impl std::str::FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The longer forms first: a date is the beginning of each of them.
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(When::At(at));
        }
        if text.contains(['T', 't', ' ']) {
            return text.parse::<DateTime>().map(When::Local).map_err(|_| EXPECTED);
        }
        text.parse::<Date>().map(When::Day).map_err(|_| EXPECTED)
    }
}

impl When {
    /// The moment it begins.
    fn begins(self, zone: &TimeZone) -> Result<Micros, String> {
        let at = match self {
            When::Day(day) => day.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()),
            When::Local(time) => time.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()),
            When::At(at) => Ok(at),
        };
        at.map(|at| Micros(at.as_microsecond())).map_err(|_| "a time beyond the calendar".to_owned())
    }

    /// The first moment after it: a day is in a period that ends with it.
    fn ends(self, zone: &TimeZone) -> Result<Micros, String> {
        match self {
            When::Day(day) => {
                let next = day.checked_add(1.day()).map_err(|_| "a day beyond the calendar".to_owned())?;
                When::Day(next).begins(zone)
            }
            other => other.begins(zone),
        }
    }
}

/// From `start`, by default the beginning of today, to `end`, by default now. A day that is not over ends now.
pub(in crate::cli) fn period(
    start: Option<When>,
    end: Option<When>,
    timezone: &str,
    now: Micros,
) -> Result<(Micros, Micros), String> {
    let zone = TimeZone::get(timezone).map_err(|_| format!("there is no time zone {timezone:?} here"))?;
    let start = match start {
        Some(start) => start.begins(&zone)?,
        None => {
            let at = Timestamp::from_microsecond(now.0)
                .map_err(|_| "the clock is beyond the calendar".to_owned())?;
            When::Day(at.to_zoned(zone.clone()).date()).begins(&zone)?
        }
    };
    let end = match end {
        Some(end @ When::Day(_)) if end.begins(&zone)? <= now => end.ends(&zone)?.min(now),
        Some(end) => end.ends(&zone)?,
        None => now,
    };
    if end <= start && start <= now {
        return Err("--end must be after --start".to_owned());
    }
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        Micros(text.parse::<Timestamp>().expect("a moment").as_microsecond())
    }

    fn of(start: &str, end: &str, zone: &str) -> (Micros, Micros) {
        let read = |text: &str| (!text.is_empty()).then(|| text.parse().expect("a time"));
        period(read(start), read(end), zone, at("2026-02-10T09:30:00Z")).expect("a period")
    }

    #[test]
    fn today_is_meant_where_nothing_is_said_and_today_is_the_zones() {
        let now = at("2026-02-10T09:30:00Z");
        assert_eq!(of("", "", "UTC"), (at("2026-02-10T00:00:00Z"), now));
        assert_eq!(of("", "", "Asia/Shanghai"), (at("2026-02-09T16:00:00Z"), now));
    }

    #[test]
    fn an_end_that_is_a_day_includes_it_and_one_that_is_a_time_is_that_time() {
        assert_eq!(
            of("2026-02-01", "2026-02-01", "UTC"),
            (at("2026-02-01T00:00:00Z"), at("2026-02-02T00:00:00Z"))
        );
        assert_eq!(of("2026-02-01T09:30", "2026-02-01 10:00", "UTC").1, at("2026-02-01T10:00:00Z"));
        assert_eq!(of("2026-02-01T09:30:00+08:00", "", "UTC").0, at("2026-02-01T01:30:00Z"));
        assert_eq!(of("2026-02-10", "2026-02-10", "UTC").1, at("2026-02-10T09:30:00Z"), "today ends now");
        assert_eq!(
            of("2026-02-10", "2026-02-11", "UTC").1,
            at("2026-02-12T00:00:00Z"),
            "tomorrow is refused later"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in ["", "yesterday", "2026-02-30", "2026-02-01T25:00", "1700000000"] {
            assert!(wrong.parse::<When>().is_err(), "{wrong}");
        }
    }
}
