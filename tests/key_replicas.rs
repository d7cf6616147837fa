//! Keys under load: three servers on one PostgreSQL, and servers that are killed. Whatever they do at once, no workspace
//! ever has more leases than its limit, the fences of a task rise (checked afterwards from the table of leases, by
//! sweep-line), and no slot leaks.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use scrip::pb;
use sqlx::Row;
use support::client::{KEK, Scrip, charge, reason, verify};
use support::server::Launch;
use support::{eventually, postgres};
use tokio::task::JoinSet;
use tonic::Code;

const ACCOUNTS: [i32; 4] = [1, 2, 3, 5];
const CALLERS: usize = 12;
const TASKS: usize = 40;

/// Each caller charges a user of its own: what one user's lock holds back would not race for the keys.
fn user_of(caller: usize) -> i64 {
    i64::try_from(caller).unwrap() + 1
}

async fn account(scrip: &mut Scrip, number: usize, max_concurrency: i32) {
    let request = pb::CreateAccountRequest {
        name: format!("account {number}"),
        api_key: format!("key-{number}:secret"),
        // Two accounts share a workspace: one limit for both, the smaller.
        workspace: if number < 2 { "shared".into() } else { String::new() },
        max_concurrency: Some(max_concurrency),
        ..Default::default()
    };
    scrip.keys.create_account(request).await.unwrap();
}

/// One runner: leases a key for each of its tasks, and gives it back in one of the ways there are.
async fn run(caller: usize, mut scrip: Clients) -> usize {
    let mut given = 0;
    for n in 0..TASKS {
        let task_id = format!("c{caller}-{n}");
        let selection = pb::KeySelection {
            runner_id: format!("runner {caller}"),
            max_wait: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
            ..Default::default()
        };
        let request =
            pb::ChargeRequest { select_key: Some(selection), ..charge(user_of(caller), &task_id, 0) };
        let lease = loop {
            match scrip.billing.charge(request.clone()).await {
                Ok(charged) => break charged.into_inner().lease.unwrap(),
                Err(status) => {
                    assert_eq!(
                        (status.code(), &*reason(&status).0),
                        (Code::ResourceExhausted, "NO_KEY_AVAILABLE")
                    );
                }
            }
        };
        given += 1;
        let lease_id = lease.lease_id.clone();
        match n % 4 {
            0 => {
                let done = pb::CompleteTaskRequest { task_id, lease_id, ..Default::default() };
                scrip.tasks.complete_task(done).await.unwrap();
            }
            1 => {
                let failed =
                    pb::FailTaskRequest { task_id, lease_id, http_status: 422, ..Default::default() };
                scrip.tasks.fail_task(failed).await.unwrap();
            }
            2 => {
                let release = pb::ReleaseKeyRequest { lease_id, http_status: 200, ..Default::default() };
                scrip.keys.release_key(release).await.unwrap();
            }
            _ => {
                // Another runner takes the task over, and finishes it.
                let other = pb::SelectKeyRequest { task_id, runner_id: "other".into(), ..Default::default() };
                if let Ok(taken) = scrip.keys.select_key(other).await {
                    given += 1;
                    let lease_id = taken.into_inner().lease.unwrap().lease_id;
                    let release = pb::ReleaseKeyRequest { lease_id, ..Default::default() };
                    scrip.keys.release_key(release).await.unwrap();
                } else {
                    let release = pb::ReleaseKeyRequest { lease_id, ..Default::default() };
                    scrip.keys.release_key(release).await.unwrap();
                }
            }
        }
    }
    given
}

#[derive(Clone)]
struct Clients {
    billing: pb::billing_service_client::BillingServiceClient<tonic::transport::Channel>,
    tasks: pb::task_service_client::TaskServiceClient<tonic::transport::Channel>,
    keys: pb::key_service_client::KeyServiceClient<tonic::transport::Channel>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_on_one_database_never_exceed_a_workspaces_limit() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    let launch = || Launch::new(&url).env("SCRIP_KEK", KEK);
    let mut servers = [
        Scrip::on(launch(), url.clone(), None).await,
        Scrip::on(launch(), url.clone(), None).await,
        Scrip::on(launch(), url.clone(), None).await,
    ];
    for caller in 0..CALLERS {
        servers[0].with_points(user_of(caller), 1).await;
    }
    for (number, limit) in ACCOUNTS.into_iter().enumerate() {
        account(&mut servers[0], number, limit).await;
    }
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let scrip = &servers[caller % servers.len()];
        let clients =
            Clients { billing: scrip.billing.clone(), tasks: scrip.tasks.clone(), keys: scrip.keys.clone() };
        callers.spawn(run(caller, clients));
    }
    let given: usize = callers.join_all().await.into_iter().sum();

    let mut connection = postgres::connect(&url).await;
    let leases = sqlx::query(
        "SELECT l.task_id, l.fence, a.workspace, (extract(epoch FROM l.acquired_at) * 1000000)::bigint AS acquired,
                (extract(epoch FROM l.released_at) * 1000000)::bigint AS released
         FROM scrip_leases AS l JOIN ts_fal_account AS a ON a.id = l.account_id ORDER BY l.task_id, l.fence",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(leases.len(), given);
    let mut events: BTreeMap<String, Vec<(i64, i32)>> = BTreeMap::new();
    let mut fences: BTreeMap<String, i64> = BTreeMap::new();
    for lease in &leases {
        let fence = fences.entry(lease.get("task_id")).or_default();
        *fence += 1;
        assert_eq!(lease.get::<i64, _>("fence"), *fence, "fences rise by one");
        let events = events.entry(lease.get("workspace")).or_default();
        // A slot given back and taken at one moment was given back first: -1 sorts before 1.
        events.push((lease.get("acquired"), 1));
        events.push((lease.get::<Option<i64>, _>("released").expect("every lease was given back"), -1));
    }
    let limits = BTreeMap::from([("shared", 1), ("key-2", 3), ("key-3", 5)]);
    let mut busiest = BTreeMap::new();
    for (workspace, mut events) in events {
        events.sort_unstable();
        let mut open = 0;
        let most = events
            .into_iter()
            .map(|(_, step)| {
                open += step;
                open
            })
            .max()
            .unwrap();
        assert!(most <= limits[workspace.as_str()], "{workspace} had {most} leases at once");
        busiest.insert(workspace, most);
    }
    assert!(busiest.values().any(|most| *most > 1), "the load was one: {busiest:?}");
    let (code, output) = verify(&url).await;
    assert_eq!(code, Some(0), "{output}");
}

/// Does a call again until it is answered: the server may be killed under it.
macro_rules! stubborn {
    ($client:expr, $call:ident, $request:expr) => {
        loop {
            match $client.$call($request.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => {
                    let is_worth_it = matches!(
                        status.code(),
                        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::ResourceExhausted
                    );
                    assert!(is_worth_it, "{status:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
}

/// A runner that leases and gives back, again and again, whatever happens to the server.
async fn run_through_kills(caller: usize, mut scrip: Clients, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let task_id = format!("c{caller}-{n}");
        let selection = pb::KeySelection { runner_id: format!("runner {caller}"), ..Default::default() };
        let request = pb::ChargeRequest { select_key: Some(selection), ..charge(7, &task_id, 1) };
        let lease = stubborn!(scrip.billing, charge, request).lease.unwrap();
        assert_eq!(lease.api_key, "key-0:secret");
        let release =
            pb::ReleaseKeyRequest { lease_id: lease.lease_id, http_status: 200, ..Default::default() };
        stubborn!(scrip.keys, release_key, release);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

async fn no_slot_leaks_when_the_server_is_killed(launch: impl Fn() -> Launch, url: String) {
    let mut scrip = Scrip::on(launch(), url.clone(), None).await;
    scrip.with_points(7, 1_000_000).await;
    account(&mut scrip, 0, 3).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let channel = scrip.server.lazy_channel();
    let clients = Clients {
        billing: pb::billing_service_client::BillingServiceClient::new(channel.clone()),
        tasks: pb::task_service_client::TaskServiceClient::new(channel.clone()),
        keys: pb::key_service_client::KeyServiceClient::new(channel),
    };
    let mut callers = JoinSet::new();
    for caller in 0..6 {
        callers.spawn(run_through_kills(caller, clients.clone(), Arc::clone(&stop), Arc::clone(&done)));
    }
    let addr = scrip.server.addr();
    for _ in 0..4 {
        let before = done.load(Ordering::Relaxed);
        eventually("leases come and go", || async { done.load(Ordering::Relaxed) > before + 25 }).await;
        scrip.server.kill9().await;
        scrip = Scrip::on(launch().listen(addr), url.clone(), None).await;
    }
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    let list = pb::ListAccountsRequest::default();
    let accounts = scrip.keys.list_accounts(list).await.unwrap().into_inner().accounts;
    assert_eq!(accounts[0].in_flight, 0, "every slot came back");
    let charged = 1_000_000 - scrip.balance(7).await.total;
    assert_eq!(charged, accounts[0].use_cnt, "each charge has its lease, each lease its charge");
    let (code, output) = verify(&url).await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_leaks_when_the_server_is_killed_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("scrip.db").display());
    no_slot_leaks_when_the_server_is_killed(|| Launch::new(&url), url.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_leaks_when_the_server_is_killed_on_postgres() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    no_slot_leaks_when_the_server_is_killed(|| Launch::new(&url).env("SCRIP_KEK", KEK), url.clone()).await;
}
