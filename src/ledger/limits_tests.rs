//! What each check lets through, up to its last value, and what it names from there on.

use super::*;

/// The fields that a check names.
fn named(check: impl FnOnce(&mut Checks<'_>)) -> Vec<&'static str> {
    let limits = Limits { max_lease_micros: 1_000, ..Limits::default() };
    let mut checks = Checks::new(&limits);
    check(&mut checks);
    checks.finish().err().unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

#[test]
fn texts_are_measured_to_the_last_byte_or_character() {
    for (length, expected) in [(4, &[][..]), (5, &[]), (6, &["x"])] {
        let text = "x".repeat(length);
        assert_eq!(named(|checks| checks.bytes("x", &text, 5)), expected, "{length} bytes");
        assert_eq!(named(|checks| checks.id("x", &text, 5)), expected, "{length} characters");
        assert_eq!(named(|checks| checks.line("x", &text, 5)), expected, "{length} characters");
    }
    assert_eq!(named(|checks| checks.bytes("x", "积", 2)), ["x"], "three bytes");
    assert_eq!(named(|checks| checks.line("x", "积分", 2)), [""; 0], "two characters");
    assert_eq!(named(|checks| checks.bytes("x", "\0", 5)), ["x"]);
    assert_eq!(named(|checks| checks.line("x", "a\0", 5)), ["x"]);
    assert_eq!(named(|checks| checks.id("x", "a\n", 5)), ["x"]);
    assert_eq!(named(|checks| checks.required_id("x", "", 5)), ["x"]);
}

#[test]
fn a_key_id_holds_no_secret_and_a_lease_id_is_not_long() {
    assert_eq!(named(|checks| checks.key_id("key-1")), [""; 0]);
    assert_eq!(named(|checks| checks.key_id("key-1:secret")), ["key_id"]);
    assert_eq!(named(|checks| checks.key_id(&"k".repeat(NAME_CHARS))), [""; 0]);
    assert_eq!(named(|checks| checks.key_id(&"k".repeat(NAME_CHARS + 1))), ["key_id"]);
    assert_eq!(named(|checks| checks.lease_id(&"l".repeat(ID_CHARS))), [""; 0]);
    assert_eq!(named(|checks| checks.lease_id(&"l".repeat(ID_CHARS + 1))), ["lease_id"]);
}

#[test]
fn a_lease_lives_longer_than_nothing_and_not_longer_than_the_limit() {
    for (ttl, expected) in
        [(None, &[][..]), (Some(-1), &["ttl"]), (Some(0), &["ttl"]), (Some(1), &[]), (Some(1_000), &[])]
    {
        assert_eq!(named(|checks| checks.lease_ttl(ttl)), expected, "{ttl:?}");
    }
    assert_eq!(named(|checks| checks.lease_ttl(Some(1_001))), ["ttl"]);
}

#[test]
fn what_a_runner_reports_is_within_its_bounds() {
    let report = |change: fn(&mut Report)| {
        let mut report = Report::default();
        change(&mut report);
        named(|checks| checks.report(&report))
    };
    assert_eq!(report(|_| {}), [""; 0]);
    assert_eq!(report(|report| report.outcome = Some(LeaseOutcome::Expired)), ["outcome"]);
    assert_eq!(report(|report| report.http_status = Some(99)), ["http_status"]);
    assert_eq!(report(|report| report.http_status = Some(100)), [""; 0]);
    assert_eq!(report(|report| report.http_status = Some(599)), [""; 0]);
    assert_eq!(report(|report| report.http_status = Some(600)), ["http_status"]);
    assert_eq!(report(|report| report.error_message = "a\0b".into()), ["error_message"]);
    assert_eq!(report(|report| report.retry_after_micros = Some(0)), [""; 0]);
    assert_eq!(report(|report| report.retry_after_micros = Some(-1)), ["retry_after"]);
    assert_eq!(report(|report| report.latency_micros = Some(0)), [""; 0]);
    assert_eq!(report(|report| report.latency_micros = Some(-1)), ["latency"]);
}

#[test]
fn a_decimal_has_digits_on_both_sides_of_its_point() {
    for good in ["0", "8", "8.44", "0.000000001", &"9".repeat(DECIMAL_CHARS)] {
        assert_eq!(named(|checks| checks.decimal("units", good)), [""; 0], "{good}");
    }
    for bad in ["", ".", "8.", ".44", "-8", "+8", "8,44", "8.4.4", "1e3", "x.4", "4.x", "८"] {
        assert_eq!(named(|checks| checks.decimal("units", bad)), ["units"], "{bad}");
    }
    assert_eq!(named(|checks| checks.decimal("units", &"9".repeat(DECIMAL_CHARS + 1))), ["units"]);
}

#[test]
fn an_amount_is_within_both_its_ends_and_a_user_has_a_number_above_zero() {
    for (amount, expected) in [(1, &["amount"][..]), (2, &[]), (9, &[]), (10, &["amount"])] {
        assert_eq!(named(|checks| checks.amount("amount", amount, 2, 9)), expected, "{amount}");
    }
    for (user_id, expected) in [(i64::MIN, &["user_id"][..]), (0, &["user_id"]), (1, &[]), (i64::MAX, &[])] {
        assert_eq!(named(|checks| checks.user_id(user_id)), expected, "{user_id}");
    }
}
