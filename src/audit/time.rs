//! Moments and days. This room reads no clock and no time zone database: both are handed in.

use std::fmt;

/// Microseconds of a day of 24 hours.
const DAY_MICROS: i64 = 86_400_000_000;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

impl Micros {
    /// The moment `micros` later (earlier if negative), held at the ends of the range.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// How long after `earlier` this is, in microseconds; negative if before it.
    pub const fn since(self, earlier: Micros) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Micros {
    /// `2026-02-01 09:30:00 UTC`, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = Day::at(self.0);
        let second = self.0.rem_euclid(DAY_MICROS) / 1_000_000;
        write!(f, "{day} {:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
    }
}

impl serde::Serialize for Micros {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Micros {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

/// A calendar day: the number of days since 1970-01-01. Which moments it holds, a [`Calendar`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub i32);

impl Day {
    /// The UTC day of a number of microseconds.
    fn at(micros: i64) -> Self {
        // ±2^63 microseconds are ±107 million days.
        Self(i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX))
    }

    /// Reads a date as it is printed: `2026-02-01`; `None` for what is no day.
    pub fn parse(date: &str) -> Option<Self> {
        let (rest, day) = date.rsplit_once('-')?;
        let (year, month) = rest.rsplit_once('-')?;
        let (year, month, day): (i64, i64, i64) =
            (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        // Printed dates have years far within these; a wilder one would overflow below.
        if !(-6_000_000..=6_000_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return None;
        }
        let found = Self::of_civil(year, month, day)?;
        (found.to_string() == date).then_some(found)
    }

    /// The inverse of what is printed, by eras of 400 years that begin on 1 March.
    #[allow(clippy::arithmetic_side_effects, reason = "the caller has bounded all three")]
    fn of_civil(year: i64, month: i64, day: i64) -> Option<Self> {
        let year = if month <= 2 { year - 1 } else { year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        i32::try_from(days).ok().map(Self)
    }

    /// The day `days` later, held at the ends of the range.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// How many days after `earlier` this is; negative if before it.
    pub fn since(self, earlier: Day) -> i64 {
        i64::from(self.0).saturating_sub(i64::from(earlier.0))
    }
}

impl fmt::Display for Day {
    /// `2026-02-01`, of the proleptic Gregorian calendar.
    #[allow(clippy::arithmetic_side_effects, reason = "an i32 of days is far from the ends of an i64")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years are counted from 1 March, so that the leap day ends one; an era is 400 of them.
        let day = i64::from(self.0) + 719_468;
        let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day_of_month:02}")
    }
}

impl serde::Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let date = String::deserialize(deserializer)?;
        Day::parse(&date).ok_or_else(|| serde::de::Error::custom("not a date"))
    }
}

/// Which day a moment belongs to, where the operator's day is not UTC's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Offset { micros: i64 },
    Midnights { first: Day, starts: Vec<Micros> },
}

impl Calendar {
    /// Days of UTC.
    pub const UTC: Calendar = Calendar(Kind::Offset { micros: 0 });

    /// Days of a zone that is always `seconds` ahead of UTC (behind it if negative).
    pub const fn ahead_of_utc(seconds: i32) -> Self {
        // An i32 of seconds is 2.1e15 microseconds at most.
        Self(Kind::Offset { micros: (seconds as i64).saturating_mul(1_000_000) })
    }

    /// Days of a zone whose offset changes: when `first`, and each day after it, begins. `None` unless there is one
    /// start at least and each is later than the one before. Days beyond them are taken to have 24 hours.
    pub fn of_midnights(first: Day, starts: Vec<Micros>) -> Option<Self> {
        let ascending = starts.windows(2).all(|pair| pair[0] < pair[1]);
        (ascending && !starts.is_empty()).then_some(Self(Kind::Midnights { first, starts }))
    }

    /// The day of a moment.
    pub fn day_of(&self, time: Micros) -> Day {
        match &self.0 {
            Kind::Offset { micros } => Day::at(time.0.saturating_add(*micros)),
            Kind::Midnights { first, starts } => {
                // The newest start at or before the moment; before the first, days count back from it.
                let newest = starts.partition_point(|start| *start <= time).saturating_sub(1);
                let start = starts.get(newest).copied().unwrap_or_default();
                let beyond = match starts.get(newest.saturating_add(1)) {
                    Some(_) if time >= start => Day(0),
                    _ => Day::at(time.since(start)),
                };
                first.plus(i32::try_from(newest).unwrap_or(i32::MAX)).plus(beyond.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn days_print_as_dates_across_leap_days_and_before_1970() {
        let dates = [(0, "1970-01-01"), (59, "1970-03-01"), (19_782, "2024-02-29"), (19_783, "2024-03-01")];
        for (day, date) in dates {
            assert_eq!(Day(day).to_string(), date);
        }
        assert_eq!(Day(-1).to_string(), "1969-12-31");
        assert_eq!(Day(11_016).to_string(), "2000-02-29");
        assert_eq!(Micros(1_769_938_200_123_456).to_string(), "2026-02-01 09:30:00 UTC");
        assert_eq!(Micros(-1).to_string(), "1969-12-31 23:59:59 UTC");
        assert!(!Micros(i64::MIN).to_string().is_empty() && !Micros(i64::MAX).to_string().is_empty());
    }

    #[test]
    fn a_printed_date_reads_back_and_nothing_else_is_one() {
        for day in [-1, 0, 59, 60, 11_016, 19_782, 20_485, i32::MIN, i32::MAX] {
            assert_eq!(Day::parse(&Day(day).to_string()), Some(Day(day)), "{}", Day(day));
        }
        for wrong in ["", "2026-02-29", "2026-2-1", "2026-13-01", "2026-02-01 ", "9223372036854775807-01-01"]
        {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_offset_moves_midnight() {
        let shanghai = Calendar::ahead_of_utc(8 * 3_600);
        assert_eq!(Calendar::UTC.day_of(Micros(16 * HOUR)), Day(0));
        assert_eq!(shanghai.day_of(Micros(16 * HOUR - 1)), Day(0));
        assert_eq!(shanghai.day_of(Micros(16 * HOUR)), Day(1));
        assert_eq!(Calendar::ahead_of_utc(-3_600).day_of(Micros(0)), Day(-1));
    }

    #[test]
    fn a_day_of_23_hours_ends_where_its_zone_says() {
        let starts = vec![Micros(0), Micros(24 * HOUR), Micros(47 * HOUR)];
        let calendar = Calendar::of_midnights(Day(100), starts).expect("ascending");
        let expected =
            [(-1, 99), (0, 100), (24, 101), (46, 101), (47, 102), (70, 102), (71, 103), (-24, 99), (-25, 98)];
        for (hour, day) in expected {
            assert_eq!(calendar.day_of(Micros(hour * HOUR)), Day(day), "hour {hour}");
        }
        assert_eq!(Calendar::of_midnights(Day(0), vec![]), None);
        assert_eq!(Calendar::of_midnights(Day(0), vec![Micros(1), Micros(1)]), None);
    }

    /// The day after a date, as a calendar on the wall has it.
    #[allow(clippy::arithmetic_side_effects, reason = "small figures")]
    fn next((year, month, day): (i64, u32, u32)) -> (i64, u32, u32) {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + u32::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            (_, day) if day == last => (year, month + 1, 1),
            _ => (year, month, day + 1),
        }
    }

    #[test]
    #[allow(clippy::arithmetic_side_effects, reason = "small figures")]
    fn each_date_around_the_turn_of_a_century_follows_the_one_before_and_reads_back() {
        for (first, century) in [(-27_393, 1_895), (9_131, 1_995), (45_656, 2_095), (82_180, 2_195)] {
            let mut date = (century, 1, 1);
            for day in first..first + 3_653 {
                let printed = format!("{:04}-{:02}-{:02}", date.0, date.1, date.2);
                assert_eq!(Day(day).to_string(), printed);
                assert_eq!(Day::parse(&printed), Some(Day(day)));
                date = next(date);
            }
        }
    }

    #[test]
    fn years_of_other_digits_are_dates_as_well() {
        for (day, date) in [(-719_529, "-001-12-31"), (-719_528, "0000-01-01"), (2_932_897, "10000-01-01")] {
            assert_eq!((Day(day).to_string(), Day::parse(date)), (date.to_owned(), Some(Day(day))));
        }
    }

    #[test]
    fn a_month_or_day_beyond_all_calendars_is_no_date() {
        for wrong in
            ["2026-9223372036854775807-01", "2026-01-9223372036854775807", "2026-00-01", "2026-01-00"]
        {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_of_25_hours_holds_its_last_one() {
        let starts = vec![Micros(0), Micros(25 * HOUR), Micros(49 * HOUR)];
        let calendar = Calendar::of_midnights(Day(100), starts).expect("ascending");
        let days = [0, 24, 25, 48, 49].map(|hour| calendar.day_of(Micros(hour * HOUR)).0);
        assert_eq!(days, [100, 100, 101, 101, 102]);
    }
}
