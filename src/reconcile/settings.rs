//! What a run judges by: thresholds, rates and the operator's time zone. Frozen with the run as JSON, so that one that
//! is taken up again, perhaps by another replica, judges as it began.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

use crate::audit::{Calendar, Day, Micros, Rates, Thresholds};

/// What a run judges by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When the rules fire.
    pub thresholds: Thresholds,
    /// What points are worth.
    pub rates: Rates,
    /// Where days begin: a name of the IANA database. Default UTC.
    pub timezone: String,
    /// Whether the rules on days judge those alone that end in the period, as of runs that follow each other, each of which
    /// would judge the day at hand again. Default no.
    pub judges_ended_days: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            rates: Rates::default(),
            timezone: "UTC".to_owned(),
            judges_ended_days: false,
        }
    }
}

/// As it is stored. Names are never changed; one that is new has the default of its threshold.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    timezone: String,
    judges_ended_days: bool,
    rates: Rates,
    billing_lag_micros: i64,
    cost_gap_bp: u32,
    refund_share_bp: u32,
    spike_factor: u32,
    spike_window_days: u32,
    spike_active_days: u32,
    spike_min_points: i64,
    low_balance_nano_usd: i64,
    report_tolerance_bp: u32,
    report_tolerance_nano_usd: i64,
    stuck_after_micros: i64,
    usage_tolerance_nano_usd: i64,
}

impl Default for Stored {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

impl From<&Settings> for Stored {
    fn from(settings: &Settings) -> Self {
        let thresholds = settings.thresholds.clone();
        Self {
            timezone: settings.timezone.clone(),
            judges_ended_days: settings.judges_ended_days,
            rates: settings.rates,
            billing_lag_micros: thresholds.billing_lag_micros,
            cost_gap_bp: thresholds.cost_gap_bp,
            refund_share_bp: thresholds.refund_share_bp,
            spike_factor: thresholds.spike_factor,
            spike_window_days: thresholds.spike_window_days,
            spike_active_days: thresholds.spike_active_days,
            spike_min_points: thresholds.spike_min_points,
            low_balance_nano_usd: thresholds.low_balance_nano_usd,
            report_tolerance_bp: thresholds.report_tolerance_bp,
            report_tolerance_nano_usd: thresholds.report_tolerance_nano_usd,
            stuck_after_micros: thresholds.stuck_after_micros,
            usage_tolerance_nano_usd: thresholds.usage_tolerance_nano_usd,
        }
    }
}

impl From<Stored> for Settings {
    fn from(stored: Stored) -> Self {
        Self {
            thresholds: Thresholds {
                billing_lag_micros: stored.billing_lag_micros,
                cost_gap_bp: stored.cost_gap_bp,
                refund_share_bp: stored.refund_share_bp,
                spike_factor: stored.spike_factor,
                spike_window_days: stored.spike_window_days,
                spike_active_days: stored.spike_active_days,
                spike_min_points: stored.spike_min_points,
                low_balance_nano_usd: stored.low_balance_nano_usd,
                report_tolerance_bp: stored.report_tolerance_bp,
                report_tolerance_nano_usd: stored.report_tolerance_nano_usd,
                stuck_after_micros: stored.stuck_after_micros,
                usage_tolerance_nano_usd: stored.usage_tolerance_nano_usd,
            },
            rates: stored.rates,
            timezone: stored.timezone,
            judges_ended_days: stored.judges_ended_days,
        }
    }
}

impl Settings {
    /// As the run keeps them.
    pub(super) fn to_json(&self) -> String {
        // Strings and integers have no value that JSON refuses.
        serde_json::to_string(&Stored::from(self)).unwrap_or_default()
    }

    /// Reads what a run kept; `None` for what this version cannot read.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str::<Stored>(json).ok().map(Self::from)
    }

    /// The days of a period and of as many before it as the rules look at, where `timezone` says they begin. `None`
    /// where there is no such zone, or the calendar does not reach so far.
    pub(super) fn days(&self, start: Micros, end: Micros) -> Option<Days> {
        if self.timezone == "UTC" {
            return self.days_of(&TimeZone::UTC, start, end);
        }
        self.days_of(&TimeZone::get(&self.timezone).ok()?, start, end)
    }

    fn days_of(&self, zone: &TimeZone, start: Micros, end: Micros) -> Option<Days> {
        let looked_at = i64::from(self.thresholds.spike_window_days);
        let local = |at: Micros| Some(Timestamp::from_microsecond(at.0).ok()?.to_zoned(zone.clone()));
        let before = local(start)?.start_of_day().ok()?.checked_sub(looked_at.days()).ok()?;
        let last = local(end.plus(-1))?.checked_add(1.day()).ok()?;
        let mut day = before.start_of_day().ok()?;
        let first = day_number(&day)?;
        let mut starts = Vec::new();
        loop {
            starts.push(Micros(day.timestamp().as_microsecond()));
            if day.date() >= last.date() {
                break;
            }
            day = day.checked_add(1.day()).and_then(|next| next.start_of_day()).ok()?;
        }
        let range = (*starts.first()?, *starts.last()?);
        Some(Days { calendar: Calendar::of_midnights(first, starts)?, range })
    }
}

fn day_number(day: &Zoned) -> Option<Day> {
    Day::parse(&day.date().to_string())
}

/// Which moments are of which day, over a range of whole days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// The days.
    pub(super) calendar: Calendar,
    /// From the first moment of the first day looked at to the first moment after the period's last day.
    pub(super) range: (Micros, Micros),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        Micros(text.parse::<Timestamp>().expect("a moment").as_microsecond())
    }

    #[test]
    fn settings_read_back_and_what_is_new_has_its_default() {
        let mut settings =
            Settings { timezone: "Asia/Shanghai".to_owned(), judges_ended_days: true, ..Settings::default() };
        settings.thresholds.spike_factor = 9;
        settings.rates.fen_per_usd = crate::audit::Rate::new(71_823, 100).expect("positive");
        assert_eq!(Settings::from_json(&settings.to_json()), Some(settings));
        assert_eq!(Settings::from_json("{}"), Some(Settings::default()));
        assert_eq!(Settings::from_json("7"), None);
    }

    #[test]
    fn days_reach_back_as_far_as_the_rules_look_and_end_with_the_period() {
        let settings = Settings::default();
        let days = settings.days(at("2026-02-10T00:00:00Z"), at("2026-02-11T00:00:00Z")).expect("days");
        assert_eq!(days.range, (at("2026-02-03T00:00:00Z"), at("2026-02-11T00:00:00Z")));
        assert_eq!(days.calendar.day_of(at("2026-02-10T23:59:59Z")).to_string(), "2026-02-10");
        // A day that has begun is looked at to its end.
        let part = settings.days(at("2026-02-10T05:00:00Z"), at("2026-02-10T06:00:00Z")).expect("days");
        assert_eq!(part.range, days.range);
    }

    #[test]
    fn a_zone_moves_midnight_and_a_day_of_23_hours_is_one_day() {
        let settings = Settings { timezone: "America/New_York".to_owned(), ..Settings::default() };
        let days = settings.days(at("2026-03-08T05:00:00Z"), at("2026-03-09T04:00:00Z")).expect("days");
        assert_eq!(days.range.1, at("2026-03-09T04:00:00Z"), "the day of the change ends after 23 hours");
        let day = |text| days.calendar.day_of(at(text)).to_string();
        assert_eq!(
            (day("2026-03-08T04:59:59Z"), day("2026-03-08T05:00:00Z")),
            ("2026-03-07".into(), "2026-03-08".into())
        );
        assert_eq!(
            (day("2026-03-09T03:59:59Z"), day("2026-03-09T04:00:00Z")),
            ("2026-03-08".into(), "2026-03-09".into())
        );
        let nowhere = Settings { timezone: "Nowhere/Land".to_owned(), ..Settings::default() };
        assert_eq!(nowhere.days(at("2026-03-08T05:00:00Z"), at("2026-03-09T04:00:00Z")), None);
    }
}
