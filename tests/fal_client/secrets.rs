//! Nothing that the client says holds a key, an address, a query or a word of fal's.

use scrip::fal::fake::{Cursors, Fault, Route};

use super::*;

/// What must not be said: the key's secret, the question, the place, and the words that fal's answers hold below.
fn must_not_be_said(fake: &FakeFal) -> Vec<String> {
    let port = fake.base_url().rsplit(':').next().unwrap_or_default().trim_end_matches("/v1").to_owned();
    ["s3cret", "2026-07", "127.0.0.1", "http:", "models/", "flux", "upstream-words", "Mg=="]
        .into_iter()
        .map(str::to_owned)
        .chain([port])
        .collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[tokio::test]
async fn no_error_tells_a_secret_an_address_or_what_fal_wrote() {
    let words = "upstream-words s3cret";
    let faults = [
        Fault::Error(400, "upstream-words"),
        Fault::Error(401, "upstream-words"),
        Fault::Error(403, "authorization_error"),
        Fault::Error(404, "not_found"),
        Fault::Error(500, "server_error"),
        Fault::Detail(403, format!("User is locked. Reason: {words}")),
        Fault::RetryAfter(429, "3600".to_owned()),
        Fault::Redirect(format!("http://127.0.0.1/{}", words.replace(' ', "/"))),
        Fault::Body(words.to_owned()),
        Fault::Body(format!(r#"{{"billing_events":"{words}","next_cursor":null,"has_more":false}}"#)),
        Fault::HangUp,
        Fault::Truncated,
        Fault::Stalled,
        Fault::Oversized(300_000, true),
    ];
    let mut said = Vec::new();
    for fault in faults {
        let fake = fake([event(1)]).await;
        fake.world().plan(Route::Events, u32::MAX, fault);
        let timeouts = Timeouts { read: Duration::from_millis(100), ..Timeouts::default() };
        let client = client_with(Config { most_bytes: 200_000, timeouts, ..config(&fake) });
        let error = events(&client).await.unwrap_err();
        for text in [chain(&error), format!("{error:?}"), format!("{error:#?}")] {
            for word in must_not_be_said(&fake) {
                assert!(!text.contains(&word), "{word:?} is in {text:?}");
            }
        }
        said.push(error.to_string());
    }
    said.dedup();
    assert!(said.len() > 9, "one text for many errors: {said:#?}");
}

#[tokio::test]
async fn what_is_at_hand_when_something_is_printed_tells_no_secret() {
    let fake = fake((0..25).map(event)).await;
    fake.world().cursors = Cursors::Circle;
    let client = client(&fake);
    let query = EventsQuery { limit: 10, ..EventsQuery::all(days(0, 1)) };
    let mut pages = client.billing_events(&admin(), query).unwrap();
    pages.next_page().await.unwrap();
    for text in [format!("{client:#?}"), format!("{pages:#?}"), format!("{:?}", admin())] {
        assert!(!text.contains("s3cret") && !text.contains("key-1"), "{text}");
    }
    assert!(!ApiKey::new("s3cret with a space".to_owned()).unwrap_err().to_string().contains("s3cret"));
}
