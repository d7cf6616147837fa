//! What reconciliation works with: where fal is, what runs judge by, and when they begin by themselves.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use clap::builder::{BoolishValueParser, RangedU64ValueParser};

use super::{HumanDuration, ThresholdArgs};
use crate::audit::{Rate, Rates, Thresholds};
use crate::{fal, reconcile};

/// Where fal is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "fal options")]
pub struct FalArgs {
    /// Base URL of fal's platform API; https, except to the loopback where that is allowed
    #[arg(
        long,
        env = "SCRIP_FAL_BASE_URL",
        value_name = "URL",
        default_value_t = fal::Config::default().base_url
    )]
    pub fal_base_url: String,

    /// Hosts beside api.fal.ai that --fal-base-url may name, parted by commas: keys of fal accounts are sent there
    #[arg(long, env = "SCRIP_FAL_ALLOWED_HOSTS", value_name = "HOST,…")]
    pub fal_allowed_hosts: Option<String>,

    /// Let --fal-base-url be on this machine, by plain http as well: for tests alone
    #[arg(long, env = "SCRIP_FAL_ALLOW_LOOPBACK", value_parser = BoolishValueParser::new())]
    pub fal_allow_loopback: bool,

    /// Workspaces of fal that are asked at once
    #[arg(
        long,
        env = "SCRIP_FAL_PARALLEL",
        value_name = "N",
        default_value_t = reconcile::Options::default().parallel,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=64)
    )]
    pub fal_parallel: usize,
}

/// What runs of reconciliation judge by.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Audit options")]
pub struct AuditArgs {
    /// How long fal may take to bill a request: younger tasks are pending, and not judged
    #[arg(
        long,
        env = "SCRIP_BILLING_LAG",
        value_name = "DURATION",
        default_value_t = HumanDuration::from_micros(Thresholds::default().billing_lag_micros)
    )]
    pub billing_lag: HumanDuration,

    /// Where days begin: a name of the IANA time zone database, such as Asia/Shanghai
    #[arg(long, env = "SCRIP_TIMEZONE", value_name = "ZONE", default_value = "UTC")]
    pub timezone: String,

    /// Points that a US dollar is worth where prices are quoted
    #[arg(long, env = "SCRIP_POINTS_PER_USD", value_name = "RATE", default_value = "400")]
    pub points_per_usd: DecimalRate,

    /// What a US dollar really costs you, in fen (1/100 CNY), such as 718.23: it values revenue [default: as
    /// points-per-usd]
    #[arg(long, env = "SCRIP_FEN_PER_USD", value_name = "RATE")]
    pub fen_per_usd: Option<DecimalRate>,
}

/// When reconciliation works by itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reconciliation options")]
pub struct ScheduleArgs {
    /// Reconcile by itself, each time such a length of time (24h) is over and billed; costs are applied [default: never]
    ///
    /// From 1m to 31d. The lengths are counted from 1970 in UTC: with 24h a run begins each day, the billing lag after midnight UTC,
    /// and is about the day that ended. However many replicas there are, one of them does it.
    #[arg(long, env = "SCRIP_RECONCILE_EVERY", value_name = "DURATION")]
    pub reconcile_every: Option<HumanDuration>,

    /// How often fal is asked for the balances of all accounts [default: 10m with --reconcile-every, else never]
    #[arg(long, env = "SCRIP_BALANCE_EVERY", value_name = "DURATION")]
    pub balance_every: Option<HumanDuration>,
}

/// A positive decimal number of at most six digits after its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalRate(pub Rate);

impl FromStr for DecimalRate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a decimal number above 0, such as 400 or 718.23";
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{part}");
        let places = u32::try_from(part.len()).map_err(|_| EXPECTED)?;
        if whole.is_empty() || places > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EXPECTED);
        }
        let rate = Rate::new(digits.parse().map_err(|_| EXPECTED)?, 10_u32.pow(places));
        rate.map(Self).ok_or(EXPECTED)
    }
}

impl fmt::Display for DecimalRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (numerator, denominator) = self.0.parts();
        let places = denominator.checked_ilog10().unwrap_or_default() as usize;
        if places == 0 {
            return write!(f, "{numerator}");
        }
        write!(f, "{}.{:0places$}", numerator / denominator, numerator % denominator)
    }
}

impl FalArgs {
    /// The client's configuration.
    pub fn config(&self) -> fal::Config {
        fal::Config {
            base_url: self.fal_base_url.clone(),
            allowed_hosts: self
                .fal_allowed_hosts
                .iter()
                .flat_map(|hosts| hosts.split(','))
                .map(|host| host.trim().to_owned())
                .filter(|host| !host.is_empty())
                .collect(),
            allow_loopback: self.fal_allow_loopback,
            ..fal::Config::default()
        }
    }
}

impl AuditArgs {
    /// What runs judge by.
    ///
    /// # Errors
    /// If there is no such time zone, or the thresholds contradict each other.
    pub fn settings(&self, thresholds: &ThresholdArgs) -> Result<reconcile::Settings, String> {
        Ok(reconcile::Settings { thresholds: thresholds.thresholds(self.billing_lag)?, ..self.usual()? })
    }

    /// The same with the usual thresholds, for what judges nothing.
    ///
    /// # Errors
    /// If there is no such time zone.
    pub fn usual(&self) -> Result<reconcile::Settings, String> {
        if jiff::tz::TimeZone::get(&self.timezone).is_err() {
            return Err(format!(
                "timezone: there is no zone {:?} here; expected a name such as UTC or Asia/Shanghai",
                self.timezone
            ));
        }
        let points = self.points_per_usd.0;
        Ok(reconcile::Settings {
            judges_ended_days: false,
            thresholds: Thresholds::default(),
            rates: Rates {
                points_per_usd: points,
                fen_per_usd: self.fen_per_usd.map_or(points, |DecimalRate(rate)| rate),
            },
            timezone: self.timezone.clone(),
        })
    }
}

impl ScheduleArgs {
    /// Reconciliation's options, with these settings.
    ///
    /// # Errors
    /// If a time is too short or too long to keep.
    pub fn options(
        &self,
        settings: reconcile::Settings,
        fal: &FalArgs,
    ) -> Result<reconcile::Options, String> {
        const LEAST: std::time::Duration = std::time::Duration::from_secs(60);
        const USUAL: std::time::Duration = std::time::Duration::from_secs(600);
        for (name, given) in
            [("reconcile-every", self.reconcile_every), ("balance-every", self.balance_every)]
        {
            if given.is_some_and(|HumanDuration(given)| given < LEAST) {
                return Err(format!("{name} must be 1m or more"));
            }
        }
        // What is left out is made up for within that.
        if self.reconcile_every.is_some_and(|HumanDuration(every)| every > reconcile::MOST_MISSED) {
            return Err("reconcile-every must be 31d or less".to_owned());
        }
        let reconcile_every = self.reconcile_every.map(|HumanDuration(every)| every);
        let asked = self.balance_every.map(|HumanDuration(every)| every);
        Ok(reconcile::Options {
            settings,
            parallel: fal.fal_parallel,
            reconcile_every,
            balance_every: asked.or(reconcile_every.map(|_| USUAL)),
            ..reconcile::Options::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_exactly_and_printed_as_it_was() {
        for text in ["400", "718.23", "0.000001", "4294.967295", "7.0"] {
            assert_eq!(text.parse::<DecimalRate>().expect("a rate").to_string(), text);
        }
        assert_eq!("718.23".parse::<DecimalRate>().expect("a rate").0.parts(), (71_823, 100));
        for wrong in ["", "0", "0.00", ".5", "-1", "+1", "1e3", "4294967296", "1.0000001", "1.2.3"] {
            assert!(wrong.parse::<DecimalRate>().is_err(), "{wrong}");
        }
    }
}
