//! The load: callers that charge one after the other, each counting for itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt;

use super::Client;
use crate::pb::batch_charge_result::Result as ItemResult;
use crate::pb::{BatchChargeRequest, BatchChargeResult, ChargeRequest};

/// How long a caller waits after an error: what refuses at once must not be asked in a spin.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(10);
/// How long charges without an answer are repeated.
const RESOLVE_FOR: Duration = Duration::from_secs(60);

/// What every caller does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) run: String,
    pub(super) first_user: i64,
    pub(super) users: i64,
    pub(super) batch: Option<u32>,
    pub(super) lasts: Duration,
}

impl Plan {
    pub(super) fn user_ids(&self) -> impl Iterator<Item = i64> + use<> {
        self.first_user..self.first_user.saturating_add(self.users)
    }

    /// A task of a caller that costs nothing: for keys.
    pub(super) fn free_task(&self, caller: u32) -> ChargeRequest {
        ChargeRequest { amount: 0, ..self.charge(caller, 0) }
    }

    /// The `number`th charge of a caller. Callers start apart, so that few users are not all charged in step.
    fn charge(&self, caller: u32, number: u64) -> ChargeRequest {
        let turn = i64::try_from(number % (1 << 40)).unwrap_or_default() + i64::from(caller);
        ChargeRequest {
            user_id: self.first_user + turn % self.users,
            task_id: format!("bench-{}-{caller}-{number}", self.run),
            amount: 1 + turn % 7,
            app_name: "bench".to_owned(),
            ..ChargeRequest::default()
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Charges acknowledged; of keys, pairs of a lease and its release.
    pub(super) charged: u64,
    /// Points acknowledged, by user.
    pub(super) points: BTreeMap<i64, i64>,
    /// How long each answered call took, in microseconds.
    pub(super) latencies: Vec<u32>,
    /// Failed calls or items, by reason.
    pub(super) errors: BTreeMap<String, u64>,
    /// Charges of which it is not known whether they were made.
    pub(super) unknown: Vec<ChargeRequest>,
    /// From the first call to the end of the last.
    pub(super) took: Duration,
}

impl Load {
    fn acknowledge(&mut self, charge: &ChargeRequest) {
        self.charged += 1;
        *self.points.entry(charge.user_id).or_default() += charge.amount;
    }

    pub(super) fn error(&mut self, reason: String) {
        *self.errors.entry(reason).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Load) {
        self.charged += other.charged;
        for (user_id, points) in other.points {
            *self.points.entry(user_id).or_default() += points;
        }
        self.latencies.extend(other.latencies);
        for (reason, count) in other.errors {
            *self.errors.entry(reason).or_default() += count;
        }
        self.unknown.extend(other.unknown);
    }
}

/// Charges from `in_flight` callers until the plan's time is up.
pub(super) async fn run(clients: &[Client], plan: &Arc<Plan>, in_flight: u32) -> Load {
    let began = Instant::now();
    let until = began + plan.lasts;
    let mut callers = JoinSet::new();
    for (caller, client) in (0..in_flight).zip(clients.iter().cycle()) {
        callers.spawn(call_until(client.clone(), Arc::clone(plan), caller, until));
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

async fn call_until(mut client: Client, plan: Arc<Plan>, caller: u32, until: Instant) -> Load {
    let mut load = Load::default();
    let mut number = 0;
    while Instant::now() < until {
        let next = number + u64::from(plan.batch.unwrap_or(1));
        let charges: Vec<ChargeRequest> = (number..next).map(|number| plan.charge(caller, number)).collect();
        number = next;
        let began = Instant::now();
        if call(&mut client, charges, plan.batch.is_some(), &mut load).await {
            load.latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        } else {
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
    load
}

/// One call; answers whether all of it was made.
async fn call(client: &mut Client, charges: Vec<ChargeRequest>, as_batch: bool, load: &mut Load) -> bool {
    let failed = if as_batch {
        let request = BatchChargeRequest { requests: charges.clone(), ..BatchChargeRequest::default() };
        match client.batch_charge(request).await {
            Ok(answer) => return take_results(&charges, answer.into_inner().results, load),
            Err(failed) => failed,
        }
    } else {
        let Some(charge) = charges.first() else { return true };
        match client.charge(charge.clone()).await {
            Ok(_) => {
                load.acknowledge(charge);
                return true;
            }
            Err(failed) => failed,
        }
    };
    let reason =
        failed.get_details_error_info().map_or_else(|| failed.message().to_owned(), |info| info.reason);
    load.error(format!("{:?} {reason}", failed.code()));
    if is_unknown(failed.code()) {
        load.unknown.extend(charges);
    }
    false
}

fn take_results(charges: &[ChargeRequest], results: Vec<BatchChargeResult>, load: &mut Load) -> bool {
    let mut all_made = results.len() == charges.len();
    for (charge, result) in charges.iter().zip(results) {
        match result.result {
            Some(ItemResult::Charge(_)) => load.acknowledge(charge),
            Some(ItemResult::Error(error)) => {
                all_made = false;
                load.error(format!("{:?} (item): {}", Code::from_i32(error.code), error.message));
            }
            None => {
                all_made = false;
                load.error("an empty result".to_owned());
                load.unknown.push(charge.clone());
            }
        }
    }
    all_made
}

/// Whether a failure with this code leaves open what was done. All others say that nothing was.
const fn is_unknown(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss
    )
}

/// Repeats every charge without an answer until there is one: the same content is the same charge.
pub(super) async fn resolve(clients: &[Client], plan: &Plan, load: &mut Load) {
    let until = Instant::now() + RESOLVE_FOR;
    let Some(client) = clients.first() else { return };
    let mut client = client.clone();
    let together = plan.batch.unwrap_or(1) as usize;
    while !load.unknown.is_empty() && Instant::now() < until {
        let rest = load.unknown.split_off(load.unknown.len().min(together));
        let pending = std::mem::replace(&mut load.unknown, rest);
        if !call(&mut client, pending, plan.batch.is_some(), load).await {
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_each_charge_once_and_only_its_own_users() {
        let plan = Plan {
            run: "r".to_owned(),
            first_user: 100,
            users: 3,
            batch: None,
            lasts: Duration::from_secs(1),
        };
        let charges: Vec<ChargeRequest> = (0..4)
            .flat_map(|caller| (0..50).map(move |number| (caller, number)))
            .map(|(c, n)| plan.charge(c, n))
            .collect();
        let ids: std::collections::BTreeSet<&str> =
            charges.iter().map(|charge| charge.task_id.as_str()).collect();
        assert_eq!(ids.len(), charges.len());
        assert!(charges.iter().all(|charge| (100..103).contains(&charge.user_id) && charge.amount >= 1));
        assert_eq!(plan.user_ids().collect::<Vec<_>>(), [100, 101, 102]);
    }
}
