//! Five times what the database can take: an open loop of charges against a PostgreSQL whose commits are slow.
//!
//! A trigger that fires at COMMIT sleeps, and a batch holds so few commands that the store takes about 1,000 a second:
//! nothing of it is in the server. What counts is done work, how soon everybody is answered, and that health and reads
//! notice nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::honest::{Honest, Seen};
use crate::support::client::{charge, credit};
use crate::support::postgres;
use crate::world::World;

/// Batches a second with the trigger below and the rest of their work, about.
const BATCHES_A_SECOND: u32 = 20;
/// At each COMMIT of a batch.
const SLOW_COMMIT: &str = "
    CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.045); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON scrip_commits
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_commit();";
const USERS: i64 = 200;
/// A caller that hears nothing for so long has gone; what is done for it afterwards is no goodput.
const DEADLINE: Duration = Duration::from_secs(5);
const PROBES_A_SECOND: u32 = 20;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Overloaded {
    /// What the store is slowed down to, about.
    pub(crate) cap: f64,
    /// Charges a second without overload, as many callers as keep every batch full.
    pub(crate) capacity: f64,
    pub(crate) offered: f64,
    pub(crate) goodput: f64,
    /// Of every answer.
    pub(crate) median_millis: f64,
    /// Of those that were done.
    pub(crate) done_p99_millis: f64,
    /// Of those that were refused as they should be.
    pub(crate) refused_p99_millis: f64,
    pub(crate) refused: u64,
    /// Answers that are neither done nor OVERLOADED with RetryInfo, by their words.
    pub(crate) others: BTreeMap<String, u64>,
    pub(crate) probes: Seen,
    pub(crate) rss: (u64, u64),
    pub(crate) wrong: Vec<String>,
}

impl Overloaded {
    /// What did not hold.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = self.wrong.clone();
        let mut must = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        let share = self.goodput / self.capacity.min(self.cap);
        must(share >= 0.8, format!("goodput is {:.0} % of what the store takes", 100.0 * share));
        must(self.median_millis < 100.0, format!("the median answer takes {:.0} ms", self.median_millis));
        must(self.others.is_empty(), format!("other answers: {:?}", self.others));
        must(
            self.probes.failures.is_empty(),
            format!("health or reads failed: {:?}", self.probes.failures.first()),
        );
        broken
    }
}

/// `None` where there is no PostgreSQL.
pub(crate) async fn run(
    scrip: &Path,
    lasts: Duration,
    cap: u32,
    keep: Option<&Path>,
) -> Result<Option<Overloaded>, String> {
    let Some(cluster) = postgres::Cluster::start() else { return Ok(None) };
    let url = cluster.fresh_database().await;
    let batch = format!("--max-commit-items={}", (cap / BATCHES_A_SECOND).max(1));
    let world = World::start(scrip, Some(&url), false, &[&batch]).await?;
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(world.channel().await?);
    }
    let probes = Honest::new(world.channel().await?).await?;
    for user_id in 1..=USERS {
        let points = credit(1_000 + user_id, 1_000_000_000, pb::Purse::Points, &format!("points-{user_id}"));
        let asked = BillingServiceClient::new(channels[0].clone()).credit(points).await;
        asked.map_err(|why| format!("a credit: {why}"))?;
    }
    let mut session = postgres::connect(&url).await;
    sqlx::raw_sql(SLOW_COMMIT).execute(&mut session).await.map_err(|why| why.to_string())?;

    let capacity = capacity(&channels, cap).await;
    let mut outcome = Overloaded { cap: f64::from(cap), capacity, ..Overloaded::default() };
    let watch = world.watch();
    outcome.rss.0 = world.resident();
    let probing = tokio::spawn(probe(world.channel().await?, probes, lasts));
    offer(&channels, lasts, 5 * cap, &mut outcome).await;
    outcome.probes = probing.await.map_err(|why| why.to_string())?;
    outcome.rss.1 = watch.most();
    outcome.wrong = world.end(keep.map(|folder| (folder, "overload"))).await;
    Ok(Some(outcome))
}

/// What the store takes when nobody is refused: as many callers as two batches hold, each with one charge in flight.
async fn capacity(channels: &[Channel], cap: u32) -> f64 {
    let (done, mut callers) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    let until = Instant::now() + Duration::from_secs(5);
    for caller in 0..i64::from(2 * cap / BATCHES_A_SECOND).max(2) {
        let mut billing = BillingServiceClient::new(channels[caller as usize % channels.len()].clone());
        let done = Arc::clone(&done);
        callers.spawn(async move {
            let mut number = 0;
            while Instant::now() < until {
                number += 1;
                let asked = charge(1_001 + caller % USERS, &format!("calm-{caller}-{number}"), 1);
                if billing.charge(asked).await.is_ok() && Instant::now() < until {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    callers.join_all().await;
    done.load(Ordering::Relaxed) as f64 / 5.0
}

/// Reads and health, at a steady rate.
async fn probe(channel: Channel, honest: Honest, lasts: Duration) -> Seen {
    let mut seen = Seen::default();
    let mut health = HealthClient::new(channel);
    let began = Instant::now();
    for number in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(PROBES_A_SECOND));
        if due >= began + lasts {
            break;
        }
        sleep_until(due).await;
        let answer = if number % 2 == 0 {
            health.check(HealthCheckRequest { service: String::new() }).await.map(drop)
        } else {
            honest.balance().await
        };
        seen.calls += 1;
        match answer {
            Ok(()) => seen.add(due.elapsed()),
            Err(why) => seen.failures.push(why.to_string()),
        }
    }
    seen
}

enum Said {
    Done,
    Refused,
    Other(String),
}

async fn offer(channels: &[Channel], lasts: Duration, rate: u32, outcome: &mut Overloaded) {
    let (said, mut heard) = mpsc::unbounded_channel();
    let began = Instant::now();
    let calls = (lasts.as_secs_f64() * f64::from(rate)) as u32;
    let tick = Duration::from_millis(1);
    for number in 0..calls {
        let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
        if due > Instant::now() + tick {
            sleep_until(due).await;
        }
        let mut billing = BillingServiceClient::new(channels[number as usize % channels.len()].clone());
        let said = said.clone();
        tokio::spawn(async move {
            let asked = charge(1_001 + i64::from(number) % USERS, &format!("job-{number}"), 1);
            let answer = timeout(DEADLINE, billing.charge(asked)).await;
            said.send((due.elapsed(), judged(answer.ok()))).ok();
        });
    }
    drop(said);
    let offering = began.elapsed();
    let (mut all, mut done, mut refused) = (Seen::default(), Seen::default(), Seen::default());
    let mut within = 0_u64;
    while let Some((latency, answer)) = heard.recv().await {
        all.add(latency);
        match answer {
            Said::Done => {
                within += 1;
                done.add(latency);
            }
            Said::Refused => {
                outcome.refused += 1;
                refused.add(latency);
            }
            Said::Other(words) => *outcome.others.entry(words).or_default() += 1,
        }
    }
    // What was accepted at the end is answered after it, and took its time.
    outcome.goodput = within as f64 / began.elapsed().as_secs_f64();
    outcome.offered = f64::from(calls) / offering.as_secs_f64();
    outcome.median_millis = all.millis(0.5);
    outcome.done_p99_millis = done.millis(0.99);
    outcome.refused_p99_millis = refused.millis(0.99);
}

fn judged(answer: Option<Result<tonic::Response<pb::ChargeResponse>, Status>>) -> Said {
    let status = match answer {
        Some(Ok(_)) => return Said::Done,
        Some(Err(status)) => status,
        None => return Said::Other(format!("no answer within {DEADLINE:?}")),
    };
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let says_when = status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
    if status.code() == Code::ResourceExhausted && reason == "OVERLOADED" && says_when {
        Said::Refused
    } else {
        Said::Other(format!("{:?} {reason}: {}", status.code(), status.message()))
    }
}
