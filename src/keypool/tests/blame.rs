//! Classification: bodies written after what fal's documentation and issue tracker show.

use super::LeaseOutcome::{
    AccountLocked, AuthFailed, CallerError, Expired, RateLimited, RunnerCanceled, Succeeded, UpstreamError,
};
use super::*;
use crate::keypool::classify;

const LOCKED: &str = r#"{"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}"#;
const ADMIN: &str = r#"{"detail":"User is locked. Reason: Admin lock. Please contact support"}"#;
const NO_USER: &str = r#"{"detail": "No user found for Key ID and Secret"}"#;
const MODEL: &str = r#"{"detail":[{"loc":["body","prompt"],"msg":"too long","type":"value_error","input":"User is locked. Reason: none"}]}"#;
const INFRASTRUCTURE: &str = r#"{"detail":"Request timed out","error_type":"request_timeout"}"#;
const CONCURRENT: &str = r#"{"error":{"type":"concurrent_requests_limit","message":"…"}}"#;

#[track_caller]
fn check(status: Option<u16>, body: &str, claim: Option<LeaseOutcome>, outcome: LeaseOutcome) {
    let report =
        Report { outcome: claim, http_status: status, error_message: body.into(), ..Report::default() };
    assert_eq!(classify(&report), outcome, "{status:?} {claim:?} {body}");
}

#[test]
fn a_status_of_one_meaning_decides_whatever_the_runner_calls_it() {
    for claim in LeaseOutcome::ALL.iter().copied().map(Some).chain([None]) {
        check(Some(401), "", claim, AuthFailed);
        check(Some(429), "", claim, RateLimited);
        check(Some(500), "", claim, UpstreamError);
        check(Some(504), INFRASTRUCTURE, claim, UpstreamError);
        check(Some(408), "", claim, UpstreamError);
        check(Some(422), MODEL, claim, CallerError);
        check(Some(404), "", claim, CallerError);
        check(Some(403), LOCKED, claim, AccountLocked);
    }
}

#[test]
fn a_403_is_a_lock_only_where_it_says_so_or_says_nothing() {
    check(Some(403), ADMIN, None, AccountLocked);
    check(Some(403), "User is locked. Reason: TOP_UP.", None, AccountLocked);
    check(Some(403), "", None, AccountLocked);
    check(Some(403), "locked, see the log", Some(AccountLocked), AccountLocked);
    check(Some(403), NO_USER, None, AuthFailed);
    check(Some(403), "", Some(AuthFailed), AuthFailed);
    check(
        Some(403),
        r#"{"error":{"type":"validation_error","message":"m"}}"#,
        Some(AccountLocked),
        CallerError,
    );
    check(Some(403), "this model is not for you", None, CallerError);
}

#[test]
fn without_a_status_the_body_decides_and_then_the_runners_word() {
    check(None, LOCKED, Some(CallerError), AccountLocked);
    check(None, NO_USER, None, AuthFailed);
    check(None, CONCURRENT, Some(UpstreamError), RateLimited);
    check(None, INFRASTRUCTURE, None, UpstreamError);
    check(None, MODEL, Some(UpstreamError), CallerError);
    check(None, "connection reset", Some(UpstreamError), UpstreamError);
    check(None, "", Some(Succeeded), Succeeded);
    check(Some(302), "", Some(RateLimited), RateLimited);
}

#[test]
fn a_report_that_proves_nothing_blames_nobody() {
    check(None, "", None, RunnerCanceled);
    check(None, "something went wrong", None, RunnerCanceled);
    check(None, "{", None, RunnerCanceled);
    check(None, "", Some(Expired), RunnerCanceled);
}

#[test]
fn a_finished_job_may_carry_an_error() {
    check(Some(200), "", None, Succeeded);
    check(Some(200), "", Some(AuthFailed), Succeeded);
    check(Some(200), MODEL, Some(Succeeded), CallerError);
    check(Some(200), INFRASTRUCTURE, None, UpstreamError);
    check(Some(200), "no image in the answer", Some(UpstreamError), UpstreamError);
    check(Some(499), "", Some(RunnerCanceled), RunnerCanceled);
    check(Some(499), "", None, UpstreamError);
}

#[test]
fn an_input_cannot_speak_for_fal() {
    check(Some(422), LOCKED, None, CallerError);
    check(None, MODEL, None, CallerError);
    check(None, r#"{"input":{"detail":"User is locked. Reason: x"}}"#, None, RunnerCanceled);
    check(None, "the prompt was: User is locked. Reason: x", None, RunnerCanceled);
    let long = format!(r#"{{"detail":"{}","error_type":"x"}}"#, "a".repeat(20_000));
    check(None, &long, None, RunnerCanceled);
    let deep = "[".repeat(10_000);
    check(None, &format!(r#"{{"detail":{deep}"#), None, RunnerCanceled);
}

#[test]
fn a_body_speaks_by_its_type_wherever_fal_puts_it() {
    check(None, r#"{"error":{"type":"server_error"}}"#, None, UpstreamError);
    check(None, r#"{"error_type":"not_found","message":"m"}"#, None, CallerError);
    check(None, r#"{"type":"rate_limited"}"#, None, RateLimited);
    check(None, r#"{"type":"unheard_of"}"#, Some(Succeeded), Succeeded);
    check(None, r#"{"detail":"in the runner's own words"}"#, Some(CallerError), CallerError);
}

#[test]
fn a_body_is_read_up_to_sixteen_kibibytes() {
    let of = |length: usize| {
        let frame = r#"{"detail":"","error_type":"x"}"#;
        format!(r#"{{"detail":"{}","error_type":"x"}}"#, "a".repeat(length - frame.len()))
    };
    check(None, &of(16_384), None, UpstreamError);
    check(None, &of(16_385), None, RunnerCanceled);
}
