//! fal accounts and their bill: what the fake fal is told, and the reconciliations that run while things break.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost_types::Timestamp;
use scrip::clock::System;
use scrip::fal::fake::{Event as Billed, FakeFal, Workspace};
use scrip::pb;
use scrip::pb::key_service_client::KeyServiceClient;
use scrip::pb::reconciliation_service_client::ReconciliationServiceClient;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use crate::books::Event;
use crate::chance::Chance;
use crate::client::channel;
use crate::world::World;

const WITHIN: Duration = Duration::from_secs(10);
const RUN_WITHIN: Duration = Duration::from_secs(180);

/// Workspaces, the limits of the accounts in each; the smallest holds for all of one workspace.
const ACCOUNTS: [(&str, i32); 6] =
    [("ws-shared", 2), ("ws-shared", 3), ("ws-one", 1), ("ws-three", 3), ("ws-five", 5), ("ws-eight", 8)];

/// The fake fal's bill, kept beside it.
pub(crate) struct Bill {
    canary: String,
    events: std::sync::Mutex<Vec<Event>>,
    began: i64,
}

impl Bill {
    pub(crate) fn new(seed: u64) -> Self {
        let canary = format!("canary{:016x}", Chance::stream(seed, 4).number());
        Self { canary, events: std::sync::Mutex::default(), began: now() }
    }

    /// What must appear in no log and no message: it is part of every secret.
    pub(crate) fn canary(&self) -> &str {
        &self.canary
    }

    /// The wall clock when the run began, in microseconds.
    pub(crate) const fn began(&self) -> i64 {
        self.began
    }

    fn key(&self, number: usize) -> String {
        format!("key-{number}:{}-{number}", self.canary)
    }

    /// Every event that fal has billed.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Adds the accounts, here and at the fake fal.
    pub(crate) async fn open(&self, world: &World) -> Result<(), String> {
        let mut keys = KeyServiceClient::new(channel(world.replicas[0].address));
        for (number, (workspace, limit)) in ACCOUNTS.into_iter().enumerate() {
            {
                let mut fal = world.fal.world();
                let known = fal.workspace(workspace).map(|known| known.clone());
                let known = known.unwrap_or_else(|| Workspace::new(workspace, "100"));
                fal.add(known.key(&self.key(number)));
            }
            let request = pb::CreateAccountRequest {
                request_id: format!("account-{number}"),
                name: format!("account {number}"),
                api_key: self.key(number),
                workspace: workspace.into(),
                max_concurrency: Some(limit),
                ..Default::default()
            };
            let created = timeout(WITHIN, keys.create_account(request)).await;
            created.map_err(|_| "no answer to CreateAccount")?.map_err(|why| format!("{why:?}"))?;
        }
        Ok(())
    }

    /// Bills and reconciles until told to stop; answers how many runs were begun.
    ///
    /// A run is begun once the one before is over, or cannot be asked about: runs that pile up would be a load that
    /// nobody makes, each of them over the whole period.
    pub(crate) async fn run(&self, world: &World, seed: u64, stop: &AtomicBool) -> u32 {
        let mut chance = Chance::stream(seed, 5);
        let mut begun = 0;
        let mut running = None;
        for number in 0.. {
            for _ in 0..30 {
                if stop.load(Ordering::Relaxed) {
                    return begun;
                }
                sleep(Duration::from_millis(200)).await;
            }
            self.bill(&world.fal, &mut chance);
            let replica = chance.below(world.replicas.len());
            let mut client =
                ReconciliationServiceClient::new(channel(world.replicas[replica].link.address()));
            let request = self.request(&format!("reconcile-{number}"), chance.is(50));
            if let Some(id) = running
                && run_of(&mut client, id)
                    .await
                    .is_some_and(|run| run.state() == pb::ReconciliationState::Running)
            {
                continue;
            }
            running = begin(&mut client, request).await;
            begun += u32::from(running.is_some());
        }
        begun
    }

    fn bill(&self, fal: &FakeFal, chance: &mut Chance) {
        let mut events = self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let from = now() - 3_000_000;
        for number in 0..chance.between(5, 60) {
            let (workspace, _) = chance.of(&ACCOUNTS);
            // Some are of jobs that runners reported, some of nobody's, and some requests are billed twice.
            let request = format!("req-{}", chance.between(1, 20_000));
            let at = from + number;
            let event = Billed::new(&request, "fal-ai/flux/dev", at).price("0.025");
            if let Some(known) = fal.world().workspace(workspace) {
                known.bill(event);
                events.push(Event { workspace: workspace.to_owned(), request, at });
            }
        }
    }

    fn request(&self, request_id: &str, apply_costs: bool) -> pb::StartReconciliationRequest {
        let start = self.began - 60_000_000;
        let start_time = Timestamp { seconds: start / 1_000_000, nanos: 0 };
        pb::StartReconciliationRequest {
            request_id: request_id.into(),
            start_time: Some(start_time),
            apply_costs,
            ..Default::default()
        }
    }

    /// The last run, with everything healed.
    ///
    /// # Errors
    /// What is wrong, if it does not end as it should.
    pub(crate) async fn finish(&self, world: &World, seed: u64) -> Result<Last, String> {
        self.bill(&world.fal, &mut Chance::stream(seed, 6));
        let mut client = ReconciliationServiceClient::new(channel(world.replicas[0].address));
        let until = Instant::now() + RUN_WITHIN;
        let request = self.request("reconcile-last", true);
        let id = loop {
            if let Some(id) = begin(&mut client, request.clone()).await {
                break id;
            }
            if Instant::now() > until {
                return Err("no reconciliation could be begun, with everything healed".to_owned());
            }
            sleep(Duration::from_millis(500)).await;
        };
        loop {
            let run = run_of(&mut client, id).await;
            let state = run.as_ref().map(pb::Reconciliation::state);
            match state {
                Some(pb::ReconciliationState::Completed) => return Ok(Last::Completed),
                Some(pb::ReconciliationState::Failed | pb::ReconciliationState::Partial) => {
                    let why = run.map(|run| (run.error, run.account_errors, run.totals));
                    return Err(format!("the last reconciliation is {state:?}, all healed: {why:?}"));
                }
                _ if Instant::now() > until => return Ok(Last::StillRunning),
                _ => sleep(Duration::from_millis(300)).await,
            }
        }
    }
}

/// What became of the last run.
pub(crate) enum Last {
    /// All evidence is there.
    Completed,
    /// Not over in [`RUN_WITHIN`]: what evidence there must be is not known.
    StillRunning,
}

async fn begin(
    client: &mut ReconciliationServiceClient<Channel>,
    request: pb::StartReconciliationRequest,
) -> Option<i64> {
    let answer = timeout(WITHIN, client.start_reconciliation(request)).await.ok()?.ok()?;
    Some(answer.into_inner().reconciliation?.reconciliation_id)
}

async fn run_of(
    client: &mut ReconciliationServiceClient<Channel>,
    reconciliation_id: i64,
) -> Option<pb::Reconciliation> {
    let request = pb::GetReconciliationRequest { reconciliation_id, ..Default::default() };
    let answer = timeout(WITHIN, client.get_reconciliation(request)).await.ok()?.ok()?;
    answer.into_inner().reconciliation
}

fn now() -> i64 {
    System::clock().now().0
}
