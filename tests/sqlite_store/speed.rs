//! How fast batches go through the writer: `cargo test --release --test sqlite_store -- --ignored --nocapture`.

use std::time::Duration;

use scrip::ledger::{Purse, Work};
use tokio::time::Instant;

use crate::support::{World, charge, complete, credit};

/// Spreads ids over the index as callers' random ids do.
fn scattered(number: i64) -> String {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("task-{mixed:016x}-{number:08}")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn charges_a_second() {
    for (batch, users) in [(1, 500), (64, 500), (500, 500), (500, 1), (2_000, 500)] {
        let world = World::new();
        let options = scrip::store::sqlite::Options { cache_kib: 32 << 10, ..world.options() };
        let store = scrip::store::sqlite::open(&world.url(), options).await.unwrap();
        let mut writer = store.writer();
        let credits: Vec<Work> = (1..=users)
            .map(|user| credit(user, Purse::Points, 1_000_000_000, &format!("credit-{user}")))
            .collect();
        world.commit(&mut writer, &credits).await;
        let total = if batch == 1 { 3_000 } else { 100_000 };
        let mut spent = Duration::ZERO;
        let mut done = 0;
        while done < total {
            let works: Vec<Work> = (done..done + batch)
                .map(|number| charge(number % users + 1, &scattered(number), 10))
                .collect();
            let began = Instant::now();
            world.commit(&mut writer, &works).await;
            spent += began.elapsed();
            world.tick(1_000);
            done += batch;
        }
        let rate = done as f64 / spent.as_secs_f64();
        println!("charges, batches of {batch:5}, {users:4} users: {rate:8.0}/s");
        if batch == 500 {
            let mut spent = Duration::ZERO;
            let mut done = 0;
            while done < 20_000 {
                let works: Vec<Work> = (done..done + batch)
                    .map(|number| complete(number % users + 1, &scattered(number), r#"{"url":"x"}"#))
                    .collect();
                let began = Instant::now();
                world.commit(&mut writer, &works).await;
                spent += began.elapsed();
                world.tick(1_000);
                done += batch;
            }
            println!("completions, batches of {batch:5}: {:8.0}/s", done as f64 / spent.as_secs_f64());
        }
    }
}
