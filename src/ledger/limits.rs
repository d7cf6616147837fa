//! The limits a command must keep, and the checks that hold it to them.

use super::rejection::FieldViolation;
use super::{LeaseOutcome, Report};

/// Bounds of what a caller may send. Widths are those of the seed's columns, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Highest amount of one charge or hold, in points.
    pub max_charge_points: i64,
    /// Bytes of `input_params` and of `output_params`.
    pub max_json_bytes: usize,
    /// Items of one batch.
    pub max_batch_items: usize,
    /// How long a hold lasts if the caller does not say, in microseconds.
    pub default_hold_micros: i64,
    /// How long a hold may last, in microseconds.
    pub max_hold_micros: i64,
    /// How long a lease may last, in microseconds.
    pub max_lease_micros: i64,
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: i64 = 3_600_000_000;
        Self {
            max_charge_points: 1_000_000_000_000,
            max_json_bytes: 256 << 10,
            max_batch_items: 10_000,
            default_hold_micros: 24 * HOUR,
            max_hold_micros: 30 * 24 * HOUR,
            max_lease_micros: 24 * HOUR,
        }
    }
}

/// Width of `task_id`, `online_task_id` and `task_type`.
pub const ID_CHARS: usize = 100;
/// Width of `app_name` and of a key id.
pub const NAME_CHARS: usize = 150;
/// Width of `title`, `order_id`, `deployment_uuid`, `request_id`, `runner_id` and `reason`.
pub const LINE_CHARS: usize = 255;
/// What is kept of a task's `error`: a long report is cut, since refusing it would keep the user's money.
pub const ERROR_CHARS: usize = 4_096;
/// What is read of a report's `error_message`: fal's own bodies are far shorter.
pub const MESSAGE_BYTES: usize = 16 << 10;
/// Width of `billable_units`.
pub const DECIMAL_CHARS: usize = 64;

/// Collects what is wrong with a command, so that a caller hears of every field at once.
pub(crate) struct Checks<'a> {
    pub(crate) limits: &'a Limits,
    violations: Vec<FieldViolation>,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, violations: Vec::new() }
    }

    pub(crate) fn finish(self) -> Result<(), Vec<FieldViolation>> {
        if self.violations.is_empty() { Ok(()) } else { Err(self.violations) }
    }

    pub(crate) fn violation(&mut self, field: &'static str, description: impl Into<String>) {
        self.violations.push(FieldViolation::new(field, description));
    }

    pub(crate) fn user_id(&mut self, value: i64) {
        if value < 1 {
            self.violation("user_id", "must be 1 or more");
        }
    }

    pub(crate) fn amount(&mut self, field: &'static str, value: i64, min: i64, max: i64) {
        if !(min..=max).contains(&value) {
            self.violation(field, format!("must be {min} to {max} points, not {value}"));
        }
    }

    /// An identifier: not longer than `max` characters, none of them a control character.
    pub(crate) fn id(&mut self, field: &'static str, value: &str, max: usize) {
        self.width(field, value, max);
        if value.chars().any(char::is_control) {
            self.violation(field, "must not contain control characters");
        }
    }

    pub(crate) fn required_id(&mut self, field: &'static str, value: &str, max: usize) {
        if value.is_empty() {
            self.violation(field, "must not be empty");
        }
        self.id(field, value, max);
    }

    /// A line for people: anything but NUL, which PostgreSQL cannot store.
    pub(crate) fn line(&mut self, field: &'static str, value: &str, max: usize) {
        self.width(field, value, max);
        self.no_nul(field, value);
    }

    pub(crate) fn bytes(&mut self, field: &'static str, value: &str, max: usize) {
        if value.len() > max {
            self.violation(field, format!("must not be longer than {max} bytes, is {}", value.len()));
        }
        self.no_nul(field, value);
    }

    /// A key id: an identifier without the secret part that follows a colon.
    pub(crate) fn key_id(&mut self, value: &str) {
        if value.contains(':') {
            // Said without the value: it may hold a secret.
            self.violation("key_id", "must be the id of the key alone, without ':' and the secret");
        } else {
            self.id("key_id", value, NAME_CHARS);
        }
    }

    /// The id of a lease: made by scrip, so nothing long is one.
    pub(crate) fn lease_id(&mut self, value: &str) {
        self.id("lease_id", value, ID_CHARS);
    }

    /// How long a lease shall live.
    pub(crate) fn lease_ttl(&mut self, ttl_micros: Option<i64>) {
        let max = self.limits.max_lease_micros;
        if ttl_micros.is_some_and(|ttl| !(1..=max).contains(&ttl)) {
            self.violation("ttl", format!("must be above 0 and at most {} hours", max / 3_600_000_000));
        }
    }

    /// What a runner reports of its lease.
    pub(crate) fn report(&mut self, report: &Report) {
        if report.outcome == Some(LeaseOutcome::Expired) {
            self.violation("outcome", "must not be expired: that is for scrip to say");
        }
        if report.http_status.is_some_and(|status| !(100..=599).contains(&status)) {
            self.violation("http_status", "must be 100 to 599");
        }
        self.no_nul("error_message", &report.error_message);
        for (field, value) in [("retry_after", report.retry_after_micros), ("latency", report.latency_micros)]
        {
            if value.is_some_and(|micros| micros < 0) {
                self.violation(field, "must be 0 or more");
            }
        }
    }

    /// An unsigned decimal such as `8.439999999999998`.
    pub(crate) fn decimal(&mut self, field: &'static str, value: &str) {
        self.width(field, value, DECIMAL_CHARS);
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = match value.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(value),
        };
        if !well_formed {
            self.violation(field, "must be a decimal such as 8.44");
        }
    }

    fn width(&mut self, field: &'static str, value: &str, max: usize) {
        if value.chars().count() > max {
            self.violation(field, format!("must not be longer than {max} characters"));
        }
    }

    pub(crate) fn no_nul(&mut self, field: &'static str, value: &str) {
        if value.contains('\0') {
            self.violation(field, "must not contain the character NUL");
        }
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
