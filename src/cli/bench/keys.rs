//! The load of `--accounts`: callers that lease a key and give it back, again and again, and a look at the slots
//! afterwards.

use std::time::Duration;

use super::super::remote::Connection;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::load::{AFTER_ERROR, Load, Plan};
use crate::cli::failure::Failure;
use crate::pb;
use crate::pb::billing_service_client::BillingServiceClient;
use crate::pb::key_service_client::KeyServiceClient;

/// What fal grows a workspace to.
const MAX_CONCURRENCY: i32 = 40;

/// Accounts of this run, and how their slots stand.
#[derive(Debug)]
pub(super) struct Accounts(Vec<i64>);

impl Accounts {
    /// Adds so many accounts, each a workspace of its own.
    pub(super) async fn add(channel: &Connection, run: &str, count: u32) -> Result<Self, Failure> {
        let mut keys = KeyServiceClient::new(channel.clone());
        let mut ids = Vec::new();
        for number in 0..count {
            let request = pb::CreateAccountRequest {
                name: format!("bench {number}"),
                api_key: format!("bench-{run}-{number}:of-no-use"),
                max_concurrency: Some(MAX_CONCURRENCY),
                ..Default::default()
            };
            let added = keys.create_account(request).await;
            let added = added.map_err(|refused| Failure::Refused(refused.message().to_owned()))?;
            ids.push(added.into_inner().account.unwrap_or_default().account_id);
        }
        Ok(Self(ids))
    }

    /// Takes the accounts out again; answers the slots still in use and the leases given.
    pub(super) async fn remove(self, channel: &Connection) -> Result<(i64, i64), Failure> {
        let mut keys = KeyServiceClient::new(channel.clone());
        let (mut in_flight, mut given) = (0, 0);
        for account_id in self.0 {
            let request = pb::DeleteAccountRequest { account_id, ..Default::default() };
            let last = keys.delete_account(request).await;
            let last = last.map_err(|refused| Failure::Refused(refused.message().to_owned()))?;
            let last = last.into_inner().account.unwrap_or_default();
            in_flight += i64::from(last.in_flight);
            given += last.use_cnt;
        }
        Ok((in_flight, given))
    }
}

/// Leases and releases from `in_flight` callers until the plan's time is up. `charged` counts the pairs.
pub(super) async fn run(channels: &[Connection], plan: &Plan, in_flight: u32) -> Load {
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for (caller, channel) in (0..in_flight).zip(channels.iter().cycle()) {
        let task = plan.free_task(caller);
        callers.spawn(call_until(channel.clone(), task, plan.lasts));
    }
    let mut load = Load::default();
    while let Some(ended) = callers.join_next().await {
        match ended {
            Ok(part) => load.merge(part),
            Err(_) => load.error("a caller of the bench itself died".to_owned()),
        }
    }
    load.took = began.elapsed();
    load
}

async fn call_until(channel: Connection, task: pb::ChargeRequest, lasts: Duration) -> Load {
    let mut load = Load::default();
    let mut keys = KeyServiceClient::new(channel.clone());
    if let Err(failed) = BillingServiceClient::new(channel).charge(task.clone()).await {
        load.error(failed.message().to_owned());
        return load;
    }
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        let began = Instant::now();
        match pair(&mut keys, &task).await {
            Ok(()) => {
                load.charged += 1;
                load.latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Err(failed) => {
                load.error(failed);
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
    load
}

async fn pair(keys: &mut KeyServiceClient<Connection>, task: &pb::ChargeRequest) -> Result<(), String> {
    let select = pb::SelectKeyRequest {
        task_id: task.task_id.clone(),
        user_id: task.user_id,
        app_name: task.app_name.clone(),
        ..Default::default()
    };
    let selected = keys.select_key(select).await.map_err(|refused| refused.message().to_owned())?;
    let lease = selected.into_inner().lease.unwrap_or_default();
    let release = pb::ReleaseKeyRequest { lease_id: lease.lease_id, http_status: 200, ..Default::default() };
    keys.release_key(release).await.map(|_| ()).map_err(|refused| refused.message().to_owned())
}
