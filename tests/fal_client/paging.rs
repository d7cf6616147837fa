//! Answers in many pages, and the guards against those without end.

use scrip::fal::fake::{Cursors, Fault, Route};
use scrip::fal::{Position, Stage, Timeframe, UsageQuery};

use super::*;

fn ids(pages: &[Page<Vec<BillingEvent>>]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.rows).map(|event| event.request_id.as_str()).collect()
}

#[tokio::test]
async fn pages_follow_one_another_to_the_last() {
    let fake = fake((0..25).map(event)).await;
    let query = EventsQuery { limit: 10, ..EventsQuery::all(days(0, 1)) };
    let pages = all(client(&fake).billing_events(&admin(), query).unwrap()).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.rows.len()).collect::<Vec<_>>(), [10, 10, 5]);
    let found = ids(&pages);
    assert_eq!((found[0], found[24]), ("req-0024", "req-0000"));
    assert_eq!(pages[0].next.as_ref(), Some(&pages[1].at));
    assert_eq!(pages[2].next, None);
}

#[tokio::test]
async fn a_page_at_a_time_is_asked_for_and_no_more() {
    let fake = fake((0..25).map(event)).await;
    let query = EventsQuery { limit: 10, ..EventsQuery::all(days(0, 1)) };
    let mut pages = client(&fake).billing_events(&admin(), query).unwrap();
    assert_eq!(fake.seen().len(), 0);
    pages.next_page().await.unwrap().unwrap();
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn empty_pages_in_between_end_nothing() {
    let fake = fake([event(23 * 3600)]).await;
    fake.world().page = Some(5);
    let pages =
        all(client(&fake).usage(&admin(), UsageQuery::by(Timeframe::Hour, days(0, 1))).unwrap()).await;
    let rows: Vec<usize> = pages
        .unwrap()
        .iter()
        .map(|page| page.rows.buckets.iter().map(|bucket| bucket.rows.len()).sum())
        .collect();
    assert_eq!(rows, [0, 0, 0, 0, 1]);
}

#[tokio::test]
async fn a_period_over_ninety_days_is_asked_for_in_pieces_that_meet() {
    let boundary = Event::new("req-on-the-seam", "fal-ai/flux/dev", START + 90 * DAY);
    let before = Event::new("req-before-it", "fal-ai/flux/dev", START + 90 * DAY - 1);
    let at_the_end = Event::new("req-past-the-end", "fal-ai/flux/dev", START + 200 * DAY);
    let fake = fake([event(0), before, boundary, at_the_end]).await;
    let pages =
        all(client(&fake).billing_events(&admin(), EventsQuery::all(days(0, 200))).unwrap()).await.unwrap();
    assert_eq!(
        pages.iter().map(|page| page.window).collect::<Vec<_>>(),
        [days(0, 90), days(90, 180), days(180, 200)]
    );
    assert_eq!(ids(&pages), ["req-before-it", "req-0000", "req-on-the-seam"]);
    assert!(pages.iter().all(|page| page.rows.iter().all(|event| page.window.contains(event.timestamp))));
    let asked = |name: &str| -> Vec<String> {
        let of = |seen: scrip::fal::fake::Seen| {
            seen.params.into_iter().find(|(there, _)| there == name).unwrap().1
        };
        fake.seen().into_iter().map(of).collect()
    };
    assert_eq!(asked("start"), ["2026-07-01T00:00:00Z", "2026-09-29T00:00:00Z", "2026-12-28T00:00:00Z"]);
    assert_eq!(asked("end")[..2], asked("start")[1..]);
}

#[tokio::test]
async fn reading_goes_on_from_a_position_that_a_page_told() {
    let later = Event::new("req-later", "fal-ai/flux/dev", START + 100 * DAY);
    let fake = fake((0..25).map(event).chain([later])).await;
    let query = EventsQuery { limit: 10, ..EventsQuery::all(days(0, 120)) };
    let begun = || client(&fake).billing_events(&admin(), query.clone()).unwrap();
    let whole = all(begun()).await.unwrap();
    for (index, page) in whole.iter().enumerate() {
        let rest = all(begun().starting_at(page.at.clone()).unwrap()).await.unwrap();
        assert_eq!(ids(&rest), ids(&whole[index..]), "from page {index}");
    }
    let elsewhere = Position { window_start: Micros(START + 1), cursor: None };
    assert!(matches!(begun().starting_at(elsewhere), Err(Error::InvalidQuery(_))));
}

#[tokio::test]
async fn pages_that_run_in_a_circle_are_an_error_and_never_an_end() {
    let fake = fake((0..25).map(event)).await;
    fake.world().cursors = Cursors::Circle;
    let query = EventsQuery { limit: 10, ..EventsQuery::all(days(0, 1)) };
    let mut pages = client(&fake).billing_events(&admin(), query).unwrap();
    // The first page and the second are evidence still; the second leads to itself.
    assert_eq!(pages.next_page().await.unwrap().unwrap().rows.len(), 10);
    assert_eq!(pages.next_page().await.unwrap().unwrap().rows.len(), 10);
    for _ in 0..2 {
        assert_eq!(pages.next_page().await.unwrap_err(), Error::CursorLoop);
    }
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn pages_without_end_stop_at_the_cap_with_an_error() {
    let fake = fake([event(0)]).await;
    fake.world().cursors = Cursors::Endless;
    let client = client_with(Config { most_pages: 7, ..config(&fake) });
    let error =
        all(client.billing_events(&admin(), EventsQuery::all(days(0, 1))).unwrap()).await.unwrap_err();
    assert_eq!(error, Error::TooManyPages { limit: 7 });
    assert_eq!(fake.seen().len(), 7);
}

#[tokio::test]
async fn after_an_error_the_same_page_is_asked_for_again() {
    let fake = fake((0..25).map(event)).await;
    let client = client_with(Config { retry: Retry { attempts: 1, ..Retry::default() }, ..config(&fake) });
    let query = EventsQuery { limit: 10, ..EventsQuery::all(days(0, 1)) };
    let mut pages = client.billing_events(&admin(), query).unwrap();
    let mut found = vec![pages.next_page().await.unwrap().unwrap()];
    fake.world().plan(Route::Events, 1, Fault::HangUp);
    assert_eq!(pages.next_page().await.unwrap_err(), Error::Network { stage: Stage::Reading });
    while let Some(page) = pages.next_page().await.unwrap() {
        found.push(page);
    }
    assert_eq!(ids(&found).len(), 25);
}

#[tokio::test]
async fn a_page_as_long_as_fal_makes_them_is_read() {
    let fake = fake((0..10_001).map(event)).await;
    let pages =
        all(client(&fake).billing_events(&admin(), EventsQuery::all(days(0, 1))).unwrap()).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.rows.len()).collect::<Vec<_>>(), [10_000, 1]);
}
