//! Each call as it goes when nothing goes wrong.

use scrip::fal::fake::{Event, Workspace};
use scrip::fal::{Filter, NanoUsd, Timeframe, UsageQuery};

use super::*;

fn some(nano: i64) -> Option<NanoUsd> {
    Some(NanoUsd(nano))
}

#[tokio::test]
async fn billing_events_come_with_exact_charges_and_their_bodies() {
    let fake = fake([
        Event::new("req-a", "fal-ai/flux/dev", START + HOUR)
            .units("8.439999999999998", "megapixels")
            .price("0.025"),
        Event::new("req-b", "fal-ai/gemini-omni-flash", START + 2 * HOUR)
            .units("3.008", "units")
            .price("0.03")
            .by_key("key-1"),
        Event::new("req-c", "fal-ai/flux/dev", START + 3 * HOUR)
            .units("2", "megapixels")
            .price("0.025")
            .discount("10"),
    ])
    .await;
    let query = EventsQuery { by_auth: true, ..EventsQuery::all(days(0, 1)) };
    let pages = all(client(&fake).billing_events(&admin(), query).unwrap()).await.unwrap();
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].next, None);
    let raw: serde_json::Value = serde_json::from_slice(&pages[0].raw).unwrap();
    assert_eq!(raw["billing_events"].as_array().unwrap().len(), 3);

    // The newest first.
    let [c, b, a] = &pages[0].rows[..] else { panic!("{:?}", pages[0].rows) };
    assert_eq!((a.request_id.as_str(), a.endpoint_id.as_str()), ("req-a", "fal-ai/flux/dev"));
    assert_eq!(a.timestamp, Micros(START + HOUR));
    assert_eq!(a.output_units.unwrap().to_string(), "8.439999999999998");
    // 8.439999999999998 × 0.025 = 0.21099999999999995, to the nearest nano.
    assert_eq!((a.cost(), a.cost_estimate), (some(211_000_000), some(211_000_000)));
    assert_eq!(b.cost(), some(90_240_000));
    assert_eq!(b.auth.as_ref().unwrap().api_key_id.as_deref(), Some("key-1"));
    assert_eq!(c.percent_discount.unwrap().to_string(), "10");
    assert_eq!(
        (c.cost_subtotal, c.cost_discount, c.cost_total),
        (some(50_000_000), some(5_000_000), some(45_000_000))
    );
}

#[tokio::test]
async fn rows_from_before_the_discount_fields_are_read_too() {
    let fake = fake([event(1).units("1.5", "images").price("0.001").old(), event(2).price("0.02")]).await;
    let found = events(&client(&fake)).await.unwrap();
    let old = &found[1];
    assert_eq!((old.cost_total, old.cost_subtotal, old.cost_discount), (None, None, None));
    assert_eq!(old.cost(), some(1_500_000));
    assert_eq!(found[0].cost_total, some(20_000_000));

    let pages = client(&fake).usage(&admin(), UsageQuery::totals(days(0, 1))).unwrap();
    let summary = all(pages).await.unwrap().remove(0).rows.summary;
    let costs: Vec<_> = summary.iter().map(|row| (row.cost, row.cost_subtotal)).collect();
    assert_eq!(costs, [(some(1_500_000), None), (some(20_000_000), some(20_000_000))]);
}

#[tokio::test]
async fn figures_are_read_however_they_are_spelled() {
    for (spelled, nano) in [
        ("38.8", 38_800_000_000),
        ("8.439999999999998", 8_440_000_000),
        ("1e-3", 1_000_000),
        ("2.5E+2", 250_000_000_000),
        ("0.1000000000000000055511151231257827", 100_000_000),
        ("0", 0),
        ("-1.25", -1_250_000_000),
    ] {
        let fake = fake([event(1).total(spelled)]).await;
        assert_eq!(events(&client(&fake)).await.unwrap()[0].cost_total, some(nano), "{spelled}");
    }
}

#[tokio::test]
async fn usage_comes_by_bucket_with_the_empty_ones() {
    let fake = fake([event(1), event(2), event(7200).discount("50")]).await;
    let query = UsageQuery::by(Timeframe::Hour, days(0, 1));
    let pages = all(client(&fake).usage(&admin(), query).unwrap()).await.unwrap();
    let buckets = &pages[0].rows.buckets;
    assert_eq!(buckets.len(), 24);
    assert_eq!(buckets[0].start, Micros(START));
    assert_eq!(buckets[0].rows.len(), 1);
    assert_eq!(buckets[0].rows[0].quantity.to_string(), "2");
    assert_eq!(buckets[0].rows[0].cost, some(20_000_000));
    assert!(buckets[1].rows.is_empty());
    assert_eq!(buckets[2].rows[0].cost, some(5_000_000));
    assert_eq!(buckets[2].rows[0].percent_discount.unwrap().to_string(), "50");
    assert!(pages[0].rows.summary.is_empty());
}

#[tokio::test]
async fn usage_totals_are_of_exactly_the_period_that_was_asked_for() {
    let fake = fake([event(0), event(3_599), event(3_600)]).await;
    let hour = Window::new(Micros(START), Micros(START + HOUR)).unwrap();
    let pages = all(client(&fake).usage(&admin(), UsageQuery::totals(hour)).unwrap()).await.unwrap();
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].rows.summary[0].quantity.to_string(), "2");
    assert_eq!(pages[0].rows.summary[0].cost, some(20_000_000));
    // What would be counted is never left to a default.
    let sent = &fake.seen()[0].params;
    for (name, value) in [
        ("start", "2026-07-01T00:00:00Z"),
        ("end", "2026-07-01T01:00:00Z"),
        ("timezone", "UTC"),
        ("bound_to_timeframe", "false"),
        ("expand", "summary"),
    ] {
        assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{name}: {sent:?}");
    }
}

#[tokio::test]
async fn a_series_begins_where_its_weeks_and_months_do() {
    // 2026-07-01 is a Wednesday: its week begins on 2026-06-29.
    let fake = fake([event(1), Event::new("req-monday", "fal-ai/flux/dev", START - 2 * DAY)]).await;
    for (timeframe, aligned, starts, counted) in [
        (Timeframe::Week, false, vec![-2, 5], [1, 0]),
        (Timeframe::Week, true, vec![-2, 5], [2, 0]),
        (Timeframe::Month, false, vec![0], [1, 0]),
        (Timeframe::Day, true, (0..8).collect(), [1, 0]),
    ] {
        let query = UsageQuery { aligned, ..UsageQuery::by(timeframe, days(0, 8)) };
        let page = all(client(&fake).usage(&admin(), query).unwrap()).await.unwrap().remove(0);
        let found: Vec<i64> = page.rows.buckets.iter().map(|bucket| (bucket.start.0 - START) / DAY).collect();
        assert_eq!(found, starts, "{timeframe:?}");
        for (bucket, count) in page.rows.buckets.iter().zip(counted) {
            let quantity: Vec<_> = bucket.rows.iter().map(|row| row.quantity.to_string()).collect();
            let expected = if count == 0 { vec![] } else { vec![count.to_string()] };
            assert_eq!(quantity, expected, "{timeframe:?} {aligned}");
        }
    }
}

#[tokio::test]
async fn usage_that_no_event_explains_shows_in_the_totals_alone() {
    let fake = fake([event(1)]).await;
    fake.world().add(Workspace::new("drifting", "1").key("key-9:x").event(event(1)).unexplained(event(2)));
    let client = client(&fake);
    let pages = all(client.usage(&key("key-9:x"), UsageQuery::totals(days(0, 1))).unwrap()).await.unwrap();
    assert_eq!(pages[0].rows.summary[0].quantity.to_string(), "2");
    let pages =
        all(client.billing_events(&key("key-9:x"), EventsQuery::all(days(0, 1))).unwrap()).await.unwrap();
    assert_eq!(pages[0].rows.len(), 1);
}

#[tokio::test]
async fn rows_of_one_model_with_different_discounts_stay_apart() {
    let fake = fake([event(1), event(2).discount("20"), event(3).discount("20")]).await;
    let pages = all(client(&fake).usage(&admin(), UsageQuery::totals(days(0, 1))).unwrap()).await.unwrap();
    let summary = &pages[0].rows.summary;
    assert_eq!(summary.len(), 2);
    assert_eq!(summary[1].quantity.to_string(), "2");
    assert_eq!((summary[1].cost_discount, summary[1].cost), (some(4_000_000), some(16_000_000)));
}

#[tokio::test]
async fn two_keys_of_a_workspace_see_the_same_unless_filtered_by_key() {
    let fake = fake([event(1).by_key("key-1"), event(2).by_key("key-3")]).await;
    fake.world().add(Workspace::new("other", "1").key("key-9:s3cret-part").event(event(3)));
    let client = client(&fake);
    let count = async |text: &str, filter: Filter| {
        let query = EventsQuery { filter, ..EventsQuery::all(days(0, 1)) };
        all(client.billing_events(&key(text), query).unwrap()).await.unwrap()[0].rows.len()
    };
    assert_eq!(count(KEY, Filter::default()).await, 2);
    assert_eq!(count("key-9:s3cret-part", Filter::default()).await, 1);
    let of_one = Filter { api_key_ids: vec!["key-3".to_owned()], ..Filter::default() };
    assert_eq!(count(KEY, of_one).await, 1);
}

#[tokio::test]
async fn events_can_be_asked_for_by_request() {
    let fake = fake((1..=60).map(event)).await;
    let request_ids = (1..=50).map(|n| format!("req-{n:04}")).collect();
    let query = EventsQuery { request_ids, ..EventsQuery::all(days(0, 1)) };
    let pages = all(client(&fake).billing_events(&admin(), query).unwrap()).await.unwrap();
    assert_eq!(pages[0].rows.len(), 50);
    let too_many = EventsQuery { request_ids: vec!["r".to_owned(); 51], ..EventsQuery::all(days(0, 1)) };
    assert!(matches!(client(&fake).billing_events(&admin(), too_many), Err(Error::InvalidQuery(_))));
}

#[tokio::test]
async fn the_account_has_its_name_and_its_balance() {
    let fake = fake([]).await;
    let (account, raw) = client(&fake).account(&admin()).await.unwrap();
    assert_eq!((account.username.as_str(), account.balance), ("studio", some(24_500_000_000)));
    assert!(raw.starts_with(b"{"));
    fake.world().workspace("studio").unwrap().set_balance("-0.000000001");
    assert_eq!(client(&fake).account(&admin()).await.unwrap().0.balance, some(-1));
}

#[tokio::test]
async fn late_events_are_absent_at_first_and_there_later() {
    let fake = fake([event(1), event(2).late(2)]).await;
    let client = client(&fake);
    for expected in [1, 1, 2, 2] {
        assert_eq!(events(&client).await.unwrap().len(), expected);
    }
}
