//! The load of one turn: callers that call one after the other, or calls at a given rate (`open_loop`).

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Status;

use crate::pb::batch_charge_result::Result as Item;
use crate::pb::billing_service_client::BillingServiceClient;
use crate::pb::key_service_client::KeyServiceClient;
use crate::pb::{BatchChargeRequest, ChargeRequest, GetBalanceRequest, ReleaseKeyRequest, SelectKeyRequest};
use crate::process::{Link, Server};

/// Not counted: connections warm up, caches fill, plans are made.
const WARM_UP: Duration = Duration::from_millis(700);
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What a caller does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Charge,
    /// BatchCharge of so many.
    Batch(u32),
    Balance,
    /// SelectKey and ReleaseKey, on a task of the caller's own.
    Lease,
}

/// Whom it concerns. User ids begin at 1.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    Uniform(u32),
    /// One user alone.
    Hot,
    /// The first of so many most often: a user's share is as 1 ÷ its id.
    Zipf(u32),
}

impl Draw {
    pub fn user(self, random: &mut SmallRng) -> i64 {
        match self {
            Self::Hot => 1,
            Self::Uniform(users) => i64::from(random.random_range(1..=users)),
            // The inverse of the distribution's continuous form: exact enough, and no table.
            Self::Zipf(users) => {
                let rank = f64::from(users).powf(random.random::<f64>());
                (rank as i64).clamp(1, i64::from(users))
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub call: Call,
    pub draw: Draw,
    pub in_flight: u32,
    pub lasts: Duration,
    /// Makes this turn's tasks its own.
    pub seed: u64,
}

/// What came of a turn, without its warm-up.
pub struct Outcome {
    /// Charges, balances or pairs acknowledged, a second.
    pub rate: f64,
    /// Of whole calls, in microseconds.
    pub latencies: Histogram<u64>,
    /// Calls that failed: a figure with any is worth nothing, and is said so.
    pub errors: u64,
}

/// From a microsecond to an hour, with three digits that count.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("sensible bounds")
}

impl Outcome {
    pub fn new() -> Self {
        Self { rate: 0.0, latencies: histogram(), errors: 0 }
    }

    /// A quantile in milliseconds.
    pub fn millis(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// One caller's own clients and chance.
pub struct Caller {
    billing: BillingServiceClient<Link>,
    keys: KeyServiceClient<Link>,
    random: SmallRng,
    turn: Turn,
    /// Of `Call::Lease`: the task whose keys it takes.
    task_id: String,
}

impl Caller {
    pub fn new(channel: &Link, turn: Turn, number: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(turn.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        let task_id = task_id(&mut random);
        let billing = BillingServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        Self { billing, keys: KeyServiceClient::new(channel.clone()), random, turn, task_id }
    }

    pub fn charge(&mut self) -> ChargeRequest {
        ChargeRequest {
            user_id: self.turn.draw.user(&mut self.random),
            task_id: task_id(&mut self.random),
            amount: self.random.random_range(1..=7),
            app_name: "fal-ai/flux/dev".to_owned(),
            ..ChargeRequest::default()
        }
    }

    async fn prepare(&mut self) -> Result<(), Status> {
        if self.turn.call == Call::Lease {
            let task = ChargeRequest { task_id: self.task_id.clone(), amount: 0, ..self.charge() };
            self.billing.charge(task).await?;
        }
        Ok(())
    }

    /// One call; answers how much was done.
    pub async fn call(&mut self) -> Result<u64, Status> {
        match self.turn.call {
            Call::Charge => {
                let charge = self.charge();
                self.billing.charge(charge).await?;
                Ok(1)
            }
            Call::Batch(size) => {
                let requests = (0..size).map(|_| self.charge()).collect();
                let request = BatchChargeRequest { requests, ..BatchChargeRequest::default() };
                let results = self.billing.batch_charge(request).await?.into_inner().results;
                let done =
                    results.iter().filter(|result| matches!(result.result, Some(Item::Charge(_)))).count();
                if done < size as usize {
                    return Err(Status::internal("a charge of a batch was refused"));
                }
                Ok(done as u64)
            }
            Call::Balance => {
                let user_id = self.turn.draw.user(&mut self.random);
                self.billing.get_balance(GetBalanceRequest { user_id, as_of_time: None }).await?;
                Ok(1)
            }
            Call::Lease => {
                let select = SelectKeyRequest {
                    task_id: self.task_id.clone(),
                    app_name: "fal-ai/flux/dev".to_owned(),
                    ..SelectKeyRequest::default()
                };
                let lease = self.keys.select_key(select).await?.into_inner().lease.unwrap_or_default();
                let release =
                    ReleaseKeyRequest { lease_id: lease.lease_id, http_status: 200, ..Default::default() };
                self.keys.release_key(release).await?;
                Ok(1)
            }
        }
    }
}

/// 32 hexadecimal digits, as a UUID without its dashes: in no order, as callers' own ids are.
fn task_id(random: &mut SmallRng) -> String {
    format!("{:032x}", random.random::<u128>())
}

/// One turn with a fixed number of calls in flight.
pub async fn closed(channels: &[Link], turn: Turn) -> Outcome {
    let from = Instant::now() + WARM_UP;
    let until = from + turn.lasts;
    let mut callers = JoinSet::new();
    for (number, channel) in (0..turn.in_flight).zip(channels.iter().cycle()) {
        let caller = Caller::new(channel, turn, u64::from(number));
        callers.spawn(call_until(caller, from, until));
    }
    let mut outcome = Outcome::new();
    let mut done = 0;
    while let Some(part) = callers.join_next().await {
        let part = part.expect("a caller");
        done += part.done;
        outcome.errors += part.errors;
        for micros in part.latencies {
            outcome.latencies.saturating_record(u64::from(micros));
        }
    }
    outcome.rate = done as f64 / turn.lasts.as_secs_f64();
    outcome
}

#[derive(Default)]
struct Part {
    done: u64,
    errors: u64,
    latencies: Vec<u32>,
}

async fn call_until(mut caller: Caller, from: Instant, until: Instant) -> Part {
    let mut part = Part::default();
    if let Err(why) = caller.prepare().await {
        part.complain(&why);
        return part;
    }
    loop {
        let began = Instant::now();
        if began >= until {
            return part;
        }
        match caller.call().await {
            // Counted by when it was answered: what began in the warm-up and ended after it is work of the turn, as what
            // is unanswered at its end is not.
            Ok(done) => {
                let ended = Instant::now();
                if ended >= from && ended < until {
                    part.done += done;
                    part.latencies.push(u32::try_from((ended - began).as_micros()).unwrap_or(u32::MAX));
                }
            }
            Err(why) => {
                part.complain(&why);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

impl Part {
    /// The first error of a caller is said; a thousand callers with the same one are enough.
    fn complain(&mut self, why: &Status) {
        if self.errors == 0 {
            eprintln!("  a call failed: {why}");
        }
        self.errors += 1;
    }
}

/// Connections to a server, so many that no single one is the limit.
pub async fn connect(server: &Server) -> Arc<[Link]> {
    server.channels(4).await.into()
}
