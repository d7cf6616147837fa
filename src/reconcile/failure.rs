//! What could not be fetched, and why, in the words of the API; kept with the run.

use serde::{Deserialize, Serialize};

use crate::fal;
use crate::keypool::AccountId;

/// What fal is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// What each request cost.
    BillingEvents,
    /// What each model cost in a period.
    Usage,
    /// The account's credit and the name that is billed.
    Balance,
}

impl Source {
    /// The word stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::BillingEvents => "billing_events",
            Source::Usage => "usage",
            Source::Balance => "balance",
        }
    }
}

/// Why something could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// fal did not answer, or not so that it can be used.
    UpstreamUnavailable,
    /// fal refused the key.
    UpstreamDenied,
    /// There is no key that can be opened here.
    SecretUnavailable,
}

/// What could not be fetched through an account. It holds no key and nothing that fal wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The account.
    pub account_id: AccountId,
    /// Its name.
    pub account_name: String,
    /// Its workspace.
    pub workspace: String,
    /// What was asked for.
    pub source: Source,
    /// Why.
    pub reason: Reason,
    /// fal's HTTP status; 0 where it did not answer.
    pub http_status: u16,
    /// The same for people.
    pub message: String,
}

impl Reason {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
            Reason::UpstreamDenied => "UPSTREAM_DENIED",
            Reason::SecretUnavailable => "SECRET_UNAVAILABLE",
        }
    }

    /// What an error of the client comes to.
    pub(super) const fn of(error: &fal::Error) -> Self {
        match error {
            fal::Error::Unauthorized { .. } | fal::Error::Forbidden { .. } => Reason::UpstreamDenied,
            _ => Reason::UpstreamUnavailable,
        }
    }
}

/// A failure before it is an account's: what the row of the fetch keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Why {
    pub(super) reason: Reason,
    pub(super) http_status: u16,
    pub(super) message: String,
}

impl Why {
    pub(super) fn unusable(message: impl Into<String>) -> Self {
        Self { reason: Reason::UpstreamUnavailable, http_status: 0, message: message.into() }
    }

    pub(super) fn no_secret(message: impl Into<String>) -> Self {
        Self { reason: Reason::SecretUnavailable, http_status: 0, message: message.into() }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what a fetch kept. What this version cannot read still failed.
    pub(super) fn from_json(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_else(|_| Self::unusable("the fetch failed"))
    }
}

impl From<&fal::Error> for Why {
    fn from(error: &fal::Error) -> Self {
        Self {
            reason: Reason::of(error),
            http_status: error.http_status().unwrap_or_default(),
            message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_key_may_not_is_denied_and_all_else_is_unavailable() {
        let why = |error: fal::Error| {
            let why = Why::from(&error);
            (why.reason, why.http_status)
        };
        let scope = fal::Scope::Admin;
        assert_eq!(why(fal::Error::Unauthorized { scope }), (Reason::UpstreamDenied, 401));
        assert_eq!(why(fal::Error::Forbidden { scope, locked: true }), (Reason::UpstreamDenied, 403));
        assert_eq!(why(fal::Error::RateLimited { retry_after: None }), (Reason::UpstreamUnavailable, 429));
        assert_eq!(why(fal::Error::Upstream { status: 500 }), (Reason::UpstreamUnavailable, 500));
        assert_eq!(why(fal::Error::Timeout), (Reason::UpstreamUnavailable, 0));
        assert_eq!(why(fal::Error::CursorLoop), (Reason::UpstreamUnavailable, 0));
    }

    #[test]
    fn a_reason_reads_back_and_one_that_cannot_be_read_is_still_a_failure() {
        let why = Why::no_secret("no key");
        assert_eq!(Why::from_json(&why.to_json()), why);
        assert_eq!(Why::from_json("").reason, Reason::UpstreamUnavailable);
    }
}
