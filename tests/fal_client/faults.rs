//! Each way in which fal can fail, and the error it becomes.

use scrip::fal::fake::{Fault, Route};
use scrip::fal::{Evidence, Kind, Scope, Stage, UsageQuery};
use tokio::time::Instant;

use super::*;

/// What a call comes to when the next answers of fal are spoilt like this, and how many requests it took.
async fn outcome(times: u32, fault: Fault) -> (Result<usize, Error>, usize) {
    let fake = fake([event(1)]).await;
    fake.world().plan(Route::Events, times, fault);
    let found = events(&client(&fake)).await;
    (found.map(|events| events.len()), fake.seen().len())
}

async fn error(fault: Fault) -> Error {
    outcome(u32::MAX, fault).await.0.expect_err("a fault without an error")
}

#[tokio::test]
async fn each_documented_error_has_its_type() {
    let admin = Scope::Admin;
    let bad = |status, kind| Error::BadRequest { status, kind };
    for (status, kind, expected, requests) in [
        (400, "validation_error", bad(400, Kind::Validation), 1),
        (400, "something_new", bad(400, Kind::Unknown), 1),
        (422, "validation_error", bad(422, Kind::Validation), 1),
        (401, "authorization_error", Error::Unauthorized { scope: admin }, 1),
        (403, "authorization_error", Error::Forbidden { scope: admin, locked: false }, 1),
        (404, "not_found", Error::NotFound { said_by_fal: true }, 1),
        (429, "rate_limited", Error::RateLimited { retry_after: None }, 5),
        (500, "server_error", Error::Upstream { status: 500 }, 5),
        (503, "server_error", Error::Upstream { status: 503 }, 5),
        (501, "not_implemented", Error::Upstream { status: 501 }, 1),
        (204, "", Error::Unexpected { status: 204 }, 1),
    ] {
        let (found, made) = outcome(u32::MAX, Fault::Error(status, kind)).await;
        assert_eq!((found.unwrap_err(), made), (expected, requests), "{status} {kind}");
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_key_without_the_scope_are_told_apart() {
    let fake = fake([]).await;
    let client = client(&fake);
    let scope = Scope::Admin;
    let asked = async |text: &str| client.account(&key(text)).await.unwrap_err();
    assert_eq!(asked("nobody:knows").await, Error::Unauthorized { scope });
    assert_eq!(asked("key-2:s3cret-part").await, Error::Forbidden { scope, locked: false });
    // As has been reported of fal.
    fake.world().scope_status = Some(401);
    assert_eq!(asked("key-2:s3cret-part").await, Error::Unauthorized { scope });
    assert!(asked("key-2:s3cret-part").await.to_string().contains("admin scope"));
}

#[tokio::test]
async fn a_locked_account_is_no_missing_scope() {
    let locked =
        "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.";
    let found = error(Fault::Detail(403, locked.to_owned())).await;
    assert_eq!(found, Error::Forbidden { scope: Scope::Admin, locked: true });
    assert!(!found.to_string().contains("Exhausted"));
}

#[tokio::test]
async fn what_passes_is_tried_until_it_has_passed() {
    for fault in [
        Fault::Error(500, "server_error"),
        Fault::Error(429, "rate_limited"),
        Fault::HangUp,
        Fault::Truncated,
    ] {
        let (found, made) = outcome(3, fault.clone()).await;
        assert_eq!((found, made), (Ok(1), 4), "{fault:?}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_in_seconds_and_as_a_date() {
    let waits = [
        (Fault::RetryAfter(429, "1".to_owned()), 1),
        (Fault::RetryAfter(503, "Wed, 01 Jul 2026 00:00:01 GMT".to_owned()), 1),
        (Fault::RetryAfter(429, "0".to_owned()), 0),
    ];
    for (fault, seconds) in waits {
        let fake = fake([event(1)]).await;
        fake.world().plan(Route::Events, 1, fault.clone());
        let client = Client::new(config(&fake), stopped_at(START)).unwrap();
        let began = Instant::now();
        assert_eq!(events(&client).await.unwrap().len(), 1, "{fault:?}");
        assert!(began.elapsed() >= Duration::from_secs(seconds), "{fault:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_wish_beyond_the_budget_is_told_and_not_waited_for() {
    let (found, made) = outcome(1, Fault::RetryAfter(429, "3600".to_owned())).await;
    assert_eq!(found, Err(Error::RateLimited { retry_after: Some(Duration::from_secs(3600)) }));
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_broken_answer_is_a_network_error() {
    for fault in [Fault::Truncated, Fault::HangUp] {
        assert_eq!(error(fault.clone()).await, Error::Network { stage: Stage::Reading }, "{fault:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_a_network_error() {
    let fake = fake([]).await;
    let client = client(&fake);
    drop(fake);
    let closed =
        async || client.account(&admin()).await.unwrap_err() == Error::Network { stage: Stage::Connecting };
    // The listener goes with its task, a moment later.
    while !closed().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn silence_is_a_timeout_before_the_headers_and_in_the_body() {
    let timeouts = Timeouts { read: Duration::from_millis(200), ..Timeouts::default() };
    let hour = Duration::from_secs(3600);
    for (fault, timeouts) in [
        (Fault::Delay(hour), timeouts),
        (Fault::Stalled, timeouts),
        (Fault::Delay(hour), Timeouts { total: Duration::from_millis(200), ..Timeouts::default() }),
        (Fault::Stalled, Timeouts { total: Duration::from_millis(200), ..Timeouts::default() }),
    ] {
        let fake = fake([event(1)]).await;
        fake.world().plan(Route::Events, u32::MAX, fault.clone());
        let retry = Retry { attempts: 2, ..config(&fake).retry };
        let found = events(&client_with(Config { timeouts, retry, ..config(&fake) })).await;
        assert_eq!(found.unwrap_err(), Error::Timeout, "{fault:?} {timeouts:?}");
        assert_eq!(fake.seen().len(), 2, "{fault:?} {timeouts:?}");
    }
}

#[tokio::test]
async fn a_delay_within_the_timeouts_is_only_a_delay() {
    assert_eq!(outcome(1, Fault::Delay(Duration::from_millis(50))).await, (Ok(1), 1));
}

#[tokio::test]
async fn garbage_is_told_with_the_body_kept_apart_and_not_tried_again() {
    let cost = |cost: &str| {
        format!(
            r#"{{"next_cursor":null,"has_more":false,"billing_events":[{{"request_id":"r","endpoint_id":"e",
            "timestamp":"2026-07-01T00:00:00Z","cost_total":{cost}}}]}}"#
        )
    };
    for (body, said) in [
        ("<html>s3cret</html>".to_owned(), "not JSON"),
        (String::new(), "JSON that ends early"),
        (r#"{"billing_events":[{"#.to_owned(), "JSON that ends early"),
        ("[]".to_owned(), "JSON of another shape than documented"),
        (r#"{"next_cursor":null,"has_more":false}"#.to_owned(), "JSON of another shape than documented"),
        (cost("\"0.1\""), "JSON of another shape than documented"),
        (cost("1e400"), "cost_total: a number out of range"),
        (cost("9223372036.854775808"), "cost_total: a number out of range"),
        (cost("1").replace("2026-07-01T00:00:00Z", "yesterday"), "timestamp: not a moment with its offset"),
        (cost("1").replace("\"r\"", "\"\""), "request_id: empty"),
        (cost("1").replace("false", "true"), "next_cursor: absent though there are more pages"),
        (format!("{}1", "[".repeat(100_000)), "JSON of another shape than documented"),
    ] {
        let (found, made) = outcome(u32::MAX, Fault::Body(body.clone())).await;
        let Err(Error::Garbage { what, evidence: Evidence(kept) }) = found else {
            panic!("{said}: {found:?}")
        };
        assert_eq!((what.to_string().as_str(), made), (said, 1), "{body:.200}");
        assert_eq!(kept, body);
    }
    let cut = error(Fault::CutJson).await;
    assert!(matches!(cut, Error::Garbage { .. }), "{cut:?}");
}

#[tokio::test]
async fn a_charge_that_is_absent_is_unknown_and_not_nothing() {
    let body = r#"{"next_cursor":null,"has_more":false,"billing_events":[{"request_id":"r","endpoint_id":"e",
        "timestamp":"2026-07-01T00:00:00Z","output_units":null,"unit_price":null,"percent_discount":null}]}"#;
    let fake = fake([]).await;
    fake.world().plan(Route::Events, 1, Fault::Body(body.to_owned()));
    let found = events(&client(&fake)).await.unwrap();
    assert_eq!((found[0].cost(), found[0].output_units), (None, None));
}

#[tokio::test]
async fn another_currency_is_garbage_and_never_dollars() {
    let fake = fake([]).await;
    let body = r#"{"username":"studio","credits":{"current_balance":24.5,"currency":"EUR"}}"#;
    fake.world().plan(Route::Account, 1, Fault::Body(body.to_owned()));
    let Err(Error::Garbage { what, .. }) = client(&fake).account(&admin()).await else {
        panic!("euros are dollars")
    };
    assert_eq!(what.field, "currency");
}

#[tokio::test]
async fn a_series_or_summary_that_is_absent_is_not_an_empty_one() {
    let fake = fake([]).await;
    let body = r#"{"next_cursor":null,"has_more":false}"#;
    fake.world().plan(Route::Usage, 1, Fault::Body(body.to_owned()));
    let found = all(client(&fake).usage(&admin(), UsageQuery::totals(days(0, 1))).unwrap()).await;
    let Err(Error::Garbage { what, .. }) = found else { panic!("{found:?}") };
    assert_eq!(what.field, "summary");
}

#[tokio::test]
async fn a_body_over_the_limit_is_given_up_announced_or_not() {
    for announced in [true, false] {
        let fake = fake([event(1)]).await;
        fake.world().plan(Route::Events, 1, Fault::Oversized(300_000, announced));
        let client = client_with(Config { most_bytes: 200_000, ..config(&fake) });
        assert_eq!(events(&client).await.unwrap_err(), Error::TooLarge { limit: 200_000 }, "{announced}");
        assert_eq!(fake.seen().len(), 1);
        assert_eq!(events(&client).await.unwrap().len(), 1, "the client goes on");
    }
}
