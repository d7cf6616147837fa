//! The honest client: charges and balances at a steady rate, whatever is going on beside.
//!
//! It retries `UNAVAILABLE` as the service config of `docs/clients.md` says, and nothing else. A latency runs from the
//! moment the call was due to its last answer, retries and their pauses included.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::client::{charge, credit};

pub(crate) const USER: i64 = 1;
const ATTEMPTS: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_secs(15);

/// What it saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: u64,
    pub(crate) retries: u64,
    /// The words of those that failed after all attempts.
    pub(crate) failures: Vec<String>,
    micros: Vec<u64>,
}

impl Seen {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.micros.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// A quantile in milliseconds.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        let mut micros = self.micros.clone();
        micros.sort_unstable();
        let rank = (micros.len() as f64 * quantile).ceil() as usize;
        micros.get(rank.saturating_sub(1)).map_or(f64::NAN, |&micros| micros as f64 / 1_000.0)
    }
}

/// The client, on one connection, as most have it.
#[derive(Clone)]
pub(crate) struct Honest {
    billing: BillingServiceClient<Channel>,
    number: Arc<AtomicU64>,
}

impl Honest {
    /// Connects, and has points to spend.
    pub(crate) async fn new(channel: Channel) -> Result<Self, String> {
        let mut billing = BillingServiceClient::new(channel);
        let points = credit(USER, 1_000_000_000, pb::Purse::Points, "points");
        billing.credit(points).await.map_err(|why| format!("the first credit: {why}"))?;
        Ok(Self { billing, number: Arc::default() })
    }

    /// Connected already, and its points are there.
    pub(crate) fn known(channel: Channel) -> Self {
        Self { billing: BillingServiceClient::new(channel), number: Arc::default() }
    }

    /// So many calls a second for so long.
    pub(crate) async fn call_for(&self, lasts: Duration, rate: u32) -> Seen {
        let (said, mut heard) = mpsc::unbounded_channel();
        let began = Instant::now();
        let calls = (lasts.as_secs_f64() * f64::from(rate)) as u32;
        for number in 0..calls {
            let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
            sleep_until(due).await;
            let (honest, said) = (self.clone(), said.clone());
            tokio::spawn(async move {
                let (answer, retries) = honest.call().await;
                said.send((due.elapsed(), answer, retries)).ok();
            });
        }
        drop(said);
        let mut seen = Seen::default();
        while let Some((latency, answer, retries)) = heard.recv().await {
            seen.calls += 1;
            seen.retries += u64::from(retries);
            match answer {
                Ok(()) => seen.add(latency),
                Err(why) => seen.failures.push(format!("{:?}: {}", why.code(), why.message())),
            }
        }
        seen
    }

    /// One call with its retries; every other one moves money.
    async fn call(&self) -> (Result<(), Status>, u32) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let within = timeout(DEADLINE, async {
            let mut backoff = FIRST_BACKOFF;
            for attempt in 1.. {
                match self.attempt(number).await {
                    Err(why) if why.code() == Code::Unavailable && attempt < ATTEMPTS => {
                        sleep(backoff).await;
                        backoff = (backoff * 3).min(Duration::from_secs(2));
                    }
                    answer => return (answer, attempt - 1),
                }
            }
            unreachable!("the last attempt is answered")
        });
        within.await.unwrap_or_else(|_| (Err(Status::deadline_exceeded("no answer within 15 s")), 0))
    }

    async fn attempt(&self, number: u64) -> Result<(), Status> {
        if number.is_multiple_of(2) {
            self.billing.clone().charge(charge(USER, &format!("honest-{number}"), 1)).await.map(drop)
        } else {
            self.balance().await
        }
    }

    /// One read, not tried again.
    pub(crate) async fn balance(&self) -> Result<(), Status> {
        let asked = pb::GetBalanceRequest { user_id: USER, as_of_time: None };
        self.billing.clone().get_balance(asked).await.map(drop)
    }
}
