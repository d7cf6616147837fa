//! When the rules of an audit fire.

use std::fmt;
use std::str::FromStr;

use clap::Args;

use super::HumanDuration;
use crate::audit::Thresholds;

/// When the rules fire.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Threshold options")]
pub struct ThresholdArgs {
    /// Age at which a charged task that nobody settled is a finding (B6)
    #[arg(
        long,
        env = "SCRIP_STUCK_AFTER",
        value_name = "DURATION",
        default_value_t = HumanDuration::from_micros(Thresholds::default().stuck_after_micros)
    )]
    pub stuck_after: HumanDuration,

    /// How much of a workspace's bill its tasks' records may differ from it (A1)
    #[arg(long, env = "SCRIP_COST_GAP", value_name = "PERCENT", default_value_t = Percent(Thresholds::default().cost_gap_bp))]
    pub cost_gap: Percent,

    /// How much of what a user consumes on a day may be refunded on it (A5)
    #[arg(
        long,
        env = "SCRIP_REFUND_SHARE",
        value_name = "PERCENT",
        default_value_t = Percent(Thresholds::default().refund_share_bp)
    )]
    pub refund_share: Percent,

    /// How many times the mean of the days before a user's day may be (A6)
    #[arg(
        long,
        env = "SCRIP_SPIKE_FACTOR",
        value_name = "N",
        default_value_t = Thresholds::default().spike_factor,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub spike_factor: u32,

    /// How many days before are looked at (A6)
    #[arg(
        long,
        env = "SCRIP_SPIKE_WINDOW",
        value_name = "DAYS",
        default_value_t = Thresholds::default().spike_window_days,
        value_parser = clap::value_parser!(u32).range(1..=90)
    )]
    pub spike_window: u32,

    /// On how many of them at least the user must have consumed anything (A6)
    #[arg(
        long,
        env = "SCRIP_SPIKE_ACTIVE_DAYS",
        value_name = "DAYS",
        default_value_t = Thresholds::default().spike_active_days,
        value_parser = clap::value_parser!(u32).range(1..=90)
    )]
    pub spike_active_days: u32,

    /// Points below which no day is unusual (A6)
    #[arg(
        long,
        env = "SCRIP_SPIKE_MIN_POINTS",
        value_name = "POINTS",
        default_value_t = Thresholds::default().spike_min_points,
        value_parser = clap::value_parser!(i64).range(0..)
    )]
    pub spike_min_points: i64,

    /// The balance of a workspace below which it is low (A8)
    #[arg(
        long,
        env = "SCRIP_LOW_BALANCE",
        value_name = "USD",
        default_value_t = Dollars(Thresholds::default().low_balance_nano_usd)
    )]
    pub low_balance: Dollars,

    /// How much of a task's bill its runner's report may differ from it (B1)
    #[arg(
        long,
        env = "SCRIP_REPORT_TOLERANCE",
        value_name = "PERCENT",
        default_value_t = Percent(Thresholds::default().report_tolerance_bp)
    )]
    pub report_tolerance: Percent,

    /// By how much it may, however small the bill (B1)
    #[arg(
        long,
        env = "SCRIP_REPORT_TOLERANCE_USD",
        value_name = "USD",
        default_value_t = Dollars(Thresholds::default().report_tolerance_nano_usd)
    )]
    pub report_tolerance_usd: Dollars,

    /// By how much fal's usage and its events may differ, besides 1e-9 USD for each event (B7)
    #[arg(
        long,
        env = "SCRIP_USAGE_TOLERANCE_USD",
        value_name = "USD",
        default_value_t = Dollars(Thresholds::default().usage_tolerance_nano_usd)
    )]
    pub usage_tolerance_usd: Dollars,
}

impl ThresholdArgs {
    /// When the rules fire, after this billing lag.
    ///
    /// # Errors
    /// If more days must have been active than are looked at.
    pub fn thresholds(&self, billing_lag: HumanDuration) -> Result<Thresholds, String> {
        if self.spike_active_days > self.spike_window {
            return Err(format!(
                "spike-active-days must not be more than spike-window: {} of {} days cannot be active",
                self.spike_active_days, self.spike_window
            ));
        }
        Ok(Thresholds {
            billing_lag_micros: billing_lag.micros(),
            cost_gap_bp: self.cost_gap.0,
            refund_share_bp: self.refund_share.0,
            spike_factor: self.spike_factor,
            spike_window_days: self.spike_window,
            spike_active_days: self.spike_active_days,
            spike_min_points: self.spike_min_points,
            low_balance_nano_usd: self.low_balance.0,
            report_tolerance_bp: self.report_tolerance.0,
            report_tolerance_nano_usd: self.report_tolerance_usd.0,
            stuck_after_micros: self.stuck_after.micros(),
            usage_tolerance_nano_usd: self.usage_tolerance_usd.0,
        })
    }
}

/// A share in basis points, written in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(pub u32);

/// An amount of nano-USD, written in dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dollars(pub i64);

/// A decimal number, not negative, in units of 10⁻ⁿ; `None` for anything else, and for more digits than that.
fn scaled(text: &str, places: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > places {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok()
}

/// The same for people, without zeros at the end.
fn print(f: &mut fmt::Formatter<'_>, number: u64, places: usize) -> fmt::Result {
    let digits = format!("{number:0width$}", width = places.saturating_add(1));
    let (whole, part) = digits.split_at(digits.len().saturating_sub(places));
    let part = part.trim_end_matches('0');
    f.write_str(whole)?;
    if part.is_empty() { Ok(()) } else { write!(f, ".{part}") }
}

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share =
            scaled(text, 2).filter(|share| *share <= 100_000).and_then(|share| u32::try_from(share).ok());
        share.map(Self).ok_or("expected percent from 0 to 1000 with two decimals at most, such as 10 or 0.5")
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0.into(), 2)
    }
}

impl FromStr for Dollars {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const MOST: u64 = 1_000_000 * 1_000_000_000;
        let amount =
            scaled(text, 9).filter(|amount| *amount <= MOST).and_then(|amount| i64::try_from(amount).ok());
        amount
            .map(Self)
            .ok_or("expected dollars from 0 to 1000000 with nine decimals at most, such as 1 or 0.00001")
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0.unsigned_abs(), 9)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        thresholds: ThresholdArgs,
    }

    fn read(line: &str) -> Result<Thresholds, String> {
        let words = std::iter::once("scrip").chain(line.split_whitespace());
        let options = Options::try_parse_from(words).map_err(|error| error.to_string())?;
        options.thresholds.thresholds(HumanDuration::from_micros(1_800_000_000))
    }

    #[test]
    fn what_is_not_said_is_as_the_rules_define_it() {
        assert_eq!(read(""), Ok(Thresholds::default()));
    }

    #[test]
    fn each_threshold_has_an_option_of_its_own() {
        let said = "--stuck-after 1h --cost-gap 12.5 --refund-share 0 --spike-factor 2 --spike-window 14 --spike-active-days 4 \
                    --spike-min-points 10 --low-balance 25.50 --report-tolerance 0.25 --report-tolerance-usd 0.000000001 \
                    --usage-tolerance-usd 0.01";
        let expected = Thresholds {
            billing_lag_micros: 1_800_000_000,
            cost_gap_bp: 1_250,
            refund_share_bp: 0,
            spike_factor: 2,
            spike_window_days: 14,
            spike_active_days: 4,
            spike_min_points: 10,
            low_balance_nano_usd: 25_500_000_000,
            report_tolerance_bp: 25,
            report_tolerance_nano_usd: 1,
            stuck_after_micros: 3_600_000_000,
            usage_tolerance_nano_usd: 10_000_000,
        };
        assert_eq!(read(said), Ok(expected));
    }

    #[test]
    fn what_no_rule_could_be_judged_by_is_refused() {
        for wrong in [
            "--cost-gap=-1",
            "--cost-gap 10%",
            "--cost-gap 0.001",
            "--refund-share 1000.01",
            "--spike-factor 0",
            "--spike-window 91",
            "--spike-active-days 0",
            "--spike-active-days 8",
            "--spike-min-points=-1",
            "--low-balance=-1",
            "--low-balance 1000001",
            "--low-balance 1e3",
            "--report-tolerance-usd 0.0000000001",
            "--usage-tolerance-usd .5",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_and_amounts_are_printed_as_people_write_them() {
        assert_eq!(
            [0, 5, 10, 1_000, 1_255].map(|bp| Percent(bp).to_string()),
            ["0", "0.05", "0.1", "10", "12.55"]
        );
        assert_eq!(
            [0, 1, 10_000, 1_000_000_000].map(|nano| Dollars(nano).to_string()),
            ["0", "0.000000001", "0.00001", "1"]
        );
    }
}
