//! What an answer of fal says about the account, whatever the runner calls it.
//!
//! In this order: a status that has one meaning decides; where it has several (403, 2xx) or is not given, fal's own
//! body decides; only then does the runner's word. Callers' mistakes and runners' cancellations leave the account
//! innocent, and so does a report that proves nothing.
//!
//! | status | body | outcome |
//! |---|---|---|
//! | 401 | | `AuthFailed` |
//! | 403 | `User is locked. Reason:` …, or none | `AccountLocked` |
//! | 403 | another of fal's | `CallerError` |
//! | 429 | | `RateLimited` |
//! | 408, 5xx | | `UpstreamError` |
//! | 499 | | the runner's cancellation if it says so, else `UpstreamError` |
//! | other 4xx | | `CallerError` |
//! | 2xx, none | of fal's | as the body: a finished job may carry an error |
//! | 2xx | none of fal's | the runner's word where a 2xx allows it, else `Succeeded` |
//! | none | none of fal's | the runner's word, else `RunnerCanceled` |

use serde_json::Value;

use super::circuit::Cause;
use super::lease::LeaseOutcome;
pub use crate::ledger::Report;

/// What fal says of a locked user, whatever the reason: balance, top-up, admin, budget, payment method, archive.
const LOCKED: &str = "User is locked. Reason:";
/// What fal says of a key it does not know.
const UNKNOWN_KEY: &str = "No user found for Key ID and Secret";
/// The type of fal's 429.
const CONCURRENT: &str = "concurrent_requests_limit";
/// A longer body is none of those known, and is not parsed.
const MAX_BODY_BYTES: usize = 16 << 10;

impl LeaseOutcome {
    /// What the account is taken out or counted for; `None` where it is innocent.
    pub const fn cause(self) -> Option<Cause> {
        match self {
            LeaseOutcome::RateLimited => Some(Cause::RateLimited),
            LeaseOutcome::AccountLocked => Some(Cause::AccountLocked),
            LeaseOutcome::AuthFailed => Some(Cause::AuthFailed),
            LeaseOutcome::UpstreamError => Some(Cause::UpstreamError),
            LeaseOutcome::Succeeded
            | LeaseOutcome::CallerError
            | LeaseOutcome::RunnerCanceled
            | LeaseOutcome::Expired => None,
        }
    }
}

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// Nothing.
    Empty,
    /// Something that is none of fal's shapes: a runner's own words.
    Foreign,
    /// One of fal's shapes, with what it stands for.
    Fal(LeaseOutcome),
}

/// What became of the lease, by the table above.
pub fn classify(report: &Report) -> LeaseOutcome {
    use LeaseOutcome::{
        AccountLocked, AuthFailed, CallerError, RateLimited, RunnerCanceled, Succeeded, UpstreamError,
    };
    // Expiry is scrip's own word, never a runner's.
    let claim = report.outcome.filter(|outcome| *outcome != LeaseOutcome::Expired);
    let body = read(&report.error_message);
    match report.http_status {
        Some(401) => AuthFailed,
        Some(403) => forbidden(claim, body),
        Some(429) => RateLimited,
        Some(499) if claim == Some(RunnerCanceled) => RunnerCanceled,
        Some(408 | 499 | 500..=599) => UpstreamError,
        Some(400..=498) => CallerError,
        Some(200..=299) => match (body, claim) {
            (Body::Fal(said), _) => said,
            (_, Some(RateLimited | AccountLocked | AuthFailed) | None) => Succeeded,
            (_, Some(claim)) => claim,
        },
        _ => match (body, claim) {
            (Body::Fal(said), _) => said,
            (_, Some(claim)) => claim,
            (_, None) => RunnerCanceled,
        },
    }
}

fn forbidden(claim: Option<LeaseOutcome>, body: Body) -> LeaseOutcome {
    match (body, claim) {
        (Body::Fal(LeaseOutcome::AccountLocked), _) => LeaseOutcome::AccountLocked,
        (Body::Fal(LeaseOutcome::AuthFailed), _) => LeaseOutcome::AuthFailed,
        (Body::Fal(_), _) => LeaseOutcome::CallerError,
        (_, Some(LeaseOutcome::AuthFailed)) => LeaseOutcome::AuthFailed,
        (Body::Empty, _) | (_, Some(LeaseOutcome::AccountLocked)) => LeaseOutcome::AccountLocked,
        (Body::Foreign, _) => LeaseOutcome::CallerError,
    }
}

/// Reads a body by its shape. Only what stands at the top speaks: deeper down fal echoes the input, in which a
/// caller may write what it likes.
fn read(message: &str) -> Body {
    let text = message.trim();
    if text.is_empty() {
        return Body::Empty;
    }
    if let Some(said) = sentence(text) {
        return Body::Fal(said);
    }
    if !text.starts_with('{') || text.len() > MAX_BODY_BYTES {
        return Body::Foreign;
    }
    let Ok(body) = serde_json::from_str::<Value>(text) else { return Body::Foreign };
    match (body.get("detail"), kind(&body)) {
        (Some(Value::String(detail)), kind) => match (sentence(detail), kind) {
            (Some(said), _) | (None, Some(said)) => Body::Fal(said),
            (None, None) if body.get("error_type").is_some() => Body::Fal(LeaseOutcome::UpstreamError),
            (None, None) => Body::Foreign,
        },
        (Some(Value::Array(_)), _) => Body::Fal(LeaseOutcome::CallerError),
        (_, Some(said)) => Body::Fal(said),
        (_, None) => Body::Foreign,
    }
}

fn sentence(text: &str) -> Option<LeaseOutcome> {
    if text.starts_with(LOCKED) {
        Some(LeaseOutcome::AccountLocked)
    } else if text.starts_with(UNKNOWN_KEY) {
        Some(LeaseOutcome::AuthFailed)
    } else {
        None
    }
}

/// What a body's type stands for, wherever fal puts it.
fn kind(body: &Value) -> Option<LeaseOutcome> {
    let places =
        [body.get("error").and_then(|error| error.get("type")), body.get("error_type"), body.get("type")];
    match places.into_iter().flatten().find_map(Value::as_str)? {
        CONCURRENT | "rate_limited" => Some(LeaseOutcome::RateLimited),
        "validation_error" | "not_found" => Some(LeaseOutcome::CallerError),
        "server_error" => Some(LeaseOutcome::UpstreamError),
        _ => None,
    }
}
