//! Prices, in batches of which one unknown model fails the whole.

use super::*;

fn models(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("fal-ai/model-{n:03}")).collect()
}

async fn priced(count: usize) -> FakeFal {
    let fake = fake([]).await;
    for id in models(count) {
        fake.world().price(&id, "0.025", "megapixels");
    }
    fake
}

#[tokio::test]
async fn prices_are_exact_and_any_key_may_ask() {
    let fake = fake([]).await;
    fake.world().price("fal-ai/hunyuan-video", "0.00125", "compute seconds");
    let found =
        client(&fake).prices(&key("key-2:s3cret-part"), &["fal-ai/hunyuan-video".to_owned()]).await.unwrap();
    assert_eq!(found.prices[0].unit_price.to_string(), "0.00125");
    assert_eq!(found.prices[0].unit, "compute seconds");
    assert_eq!((found.unknown.len(), found.raw.len()), (0, 1));
}

#[tokio::test]
async fn fifty_models_are_one_request_and_fifty_one_are_two() {
    for (count, requests) in [(0, 0), (1, 1), (50, 1), (51, 2), (101, 3)] {
        let fake = priced(count).await;
        let found = client(&fake).prices(&admin(), &models(count)).await.unwrap();
        assert_eq!((found.prices.len(), fake.seen().len()), (count, requests), "{count}");
    }
}

#[tokio::test]
async fn an_unknown_model_costs_the_others_nothing() {
    let fake = priced(100).await;
    let mut ids = models(100);
    ids.insert(17, "fal-ai/gone".to_owned());
    ids.push("fal-ai/zzz".to_owned());
    // One that is asked for twice is asked for once.
    ids.push("fal-ai/model-000".to_owned());
    let found = client(&fake).prices(&admin(), &ids).await.unwrap();
    assert_eq!(found.prices.len(), 100);
    assert!(found.prices.is_sorted_by_key(|price| price.endpoint_id.clone()));
    assert_eq!(found.unknown, ["fal-ai/gone", "fal-ai/zzz"]);
    assert!(fake.seen().len() < 30, "{} requests", fake.seen().len());
}

#[tokio::test]
async fn nothing_but_unknown_models_is_an_answer_too() {
    let fake = fake([]).await;
    let found = client(&fake).prices(&admin(), &models(8)).await.unwrap();
    assert_eq!((found.prices.len(), found.unknown.len()), (0, 8));
    assert_eq!(fake.seen().len(), 15);
}

#[tokio::test]
async fn a_wrong_base_url_is_not_taken_for_unknown_models() {
    let fake = fake([]).await;
    fake.world().plan(
        scrip::fal::fake::Route::Pricing,
        1,
        scrip::fal::fake::Fault::Detail(404, "Not Found".to_owned()),
    );
    let error = client(&fake).prices(&admin(), &models(8)).await.unwrap_err();
    assert_eq!(error, Error::NotFound { said_by_fal: false });
    assert_eq!(fake.seen().len(), 1);
}
