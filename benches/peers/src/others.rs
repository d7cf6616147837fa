//! A ledger that others have made, where it was asked for (`--peers`): doubleentry, on both databases. A transfer of two
//! postings is less than a charge (no task, no second ledger), and is called in this process: no client, no wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use doubleentry::store::{SqlStore, Store};
use doubleentry::{AccountKind, Amount, Entry, Ledger, LedgerId, currency::EUR, date};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::{self, Stage};

const WARM_UP: Duration = Duration::from_millis(700);
/// Accounts that are drawn from, in turn.
const WALLETS: u64 = 1_000;
/// It writes one ledger at a time: more callers only wait for each other.
const CALLERS: u64 = 4;

/// Transfers a second on a fresh database, so many a call.
pub async fn transfers(stage: &Stage, store: stage::Store, a_call: u64, lasts: Duration) -> f64 {
    let database = stage.blank(store).await;
    let rate = match store {
        stage::Store::Postgres => {
            let store = SqlStore::postgres(&database.url).await.expect("a store");
            let rate = measure(books(store.clone()).await, a_call, lasts).await;
            store.close().await;
            rate
        }
        stage::Store::Sqlite => {
            let store = SqlStore::sqlite(&format!("{}?mode=rwc", database.url)).await.expect("a store");
            let rate = measure(books(store.clone()).await, a_call, lasts).await;
            store.close().await;
            rate
        }
    };
    stage.drop(database).await;
    rate
}

async fn books<S: Store<2>>(store: S) -> Ledger<S> {
    let ledger =
        Ledger::new(store, LedgerId::new("example.com/bench").expect("a name")).await.expect("a ledger");
    ledger.declare_currency(EUR, 2, date!("2026-01-01")).await.expect("a currency");
    ledger.define_months(2026, 1..=12).await.expect("months");
    ledger.open("Income:Sales", AccountKind::Income, date!("2026-01-01")).await.expect("an account");
    for wallet in 0..WALLETS {
        let name = format!("Assets:Wallet{wallet}");
        ledger.open(&name, AccountKind::Asset, date!("2026-01-01")).await.expect("an account");
    }
    ledger
}

fn transfer(number: u64) -> Entry<2> {
    let amount = Amount::from_minor(3).expect("an amount");
    Entry::new(format!("transfer-{number:032x}"), date!("2026-03-15"))
        .debit(format!("Assets:Wallet{}", number % WALLETS), amount, EUR)
        .credit("Income:Sales", amount, EUR)
}

async fn measure<S: Store<2> + Send + Sync + 'static>(
    ledger: Ledger<S>,
    a_call: u64,
    lasts: Duration,
) -> f64 {
    let (ledger, next) = (Arc::new(ledger), Arc::new(AtomicU64::new(0)));
    let from = Instant::now() + WARM_UP;
    let until = from + lasts;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (ledger, next) = (Arc::clone(&ledger), Arc::clone(&next));
        callers.spawn(async move {
            let mut done = 0;
            while Instant::now() < until {
                let first = next.fetch_add(a_call, Ordering::Relaxed);
                let is_done = if a_call == 1 {
                    ledger.record(transfer(first)).await.is_ok()
                } else {
                    let entries = (first..first + a_call).map(transfer).collect::<Vec<_>>();
                    ledger.record_batch(entries).await.is_ok()
                };
                // Where its callers come too thick it calls its database unavailable for a moment: they go on, and what
                // failed does not count.
                let ended = Instant::now();
                done += if is_done && ended >= from && ended < until { a_call } else { 0 };
            }
            done
        });
    }
    let done: u64 = callers.join_all().await.into_iter().sum();
    done as f64 / lasts.as_secs_f64()
}
