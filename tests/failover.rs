//! A failover of PostgreSQL: the primary goes, or takes no more writes, and a standby takes its place behind the same
//! address. Real servers, real replication.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "support/load.rs"]
mod load;
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use load::{Load, check_exactly, fund};
use sqlx::{AssertSqlSafe, Connection};
use support::client::{Scrip, charge, refused};
use support::postgres::{self, Cluster};
use support::server::Launch;
use support::{eventually, say_not_run};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// An address that leads to one server, and from some moment on to another: new connections go there, and those that
/// are open stay where they are, as behind a name or a load balancer.
struct Address {
    addr: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Address {
    async fn of(server: SocketAddr) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let leads_to = Arc::new(Mutex::new(server));
        let target = Arc::clone(&leads_to);
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = *target.lock().unwrap();
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
            }
        });
        Address { addr, leads_to, accepting }
    }

    fn lead_to(&self, server: SocketAddr) {
        *self.leads_to.lock().unwrap() = server;
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Pair {
    primary: Cluster,
    standby: Cluster,
    address: Address,
    database: String,
}

impl Pair {
    /// A primary that acknowledges nothing that its standby has not stored.
    async fn start() -> Option<Pair> {
        let primary = Cluster::start()?;
        if primary.program("pg_basebackup").is_none() {
            say_not_run("pg_basebackup is not beside the server");
            return None;
        }
        let url = primary.fresh_database().await;
        let standby = primary.standby().await;
        let address = Address::of(primary.addr()).await;
        let pair = Pair { primary, standby, address, database: url.clone() };
        pair.set("synchronous_standby_names = '*'").await;
        eventually("the standby is synchronous", async || {
            let mut admin = postgres::connect(&url).await;
            let state = sqlx::query_scalar("SELECT sync_state FROM pg_stat_replication");
            let state: Option<String> = state.fetch_optional(&mut admin).await.unwrap();
            state.as_deref() == Some("sync")
        })
        .await;
        Some(pair)
    }

    async fn set(&self, setting: &str) {
        let mut admin = postgres::connect(&self.database).await;
        let set = AssertSqlSafe(format!("ALTER SYSTEM SET {setting}"));
        sqlx::query(set).execute(&mut admin).await.unwrap();
        sqlx::query("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
    }

    /// The service's URL.
    fn url(&self) -> String {
        postgres::through(&self.database, self.address.addr)
    }

    /// The same database on the standby.
    fn standby_url(&self) -> String {
        postgres::through(&self.database, self.standby.addr())
    }

    async fn fail_over(&self) {
        self.standby.try_pg_ctl(&["promote"]).await.unwrap();
        self.address.lead_to(self.standby.addr());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_under_load_loses_no_acknowledged_charge_and_its_successor_doubles_none() {
    let Some(pair) = Pair::start().await else { return };
    let mut scrip = Scrip::on(Launch::new(&pair.url()), pair.standby_url(), None).await;
    fund(&mut scrip).await;
    let channels = (0..8).map(|_| scrip.server.lazy_channel()).collect();
    let load = Load::start(0, channels, true);
    load.until(200).await;
    pair.primary.stop_immediate().await;
    pair.fail_over().await;
    load.until(load.acknowledged() + 200).await;
    let acknowledged = load.stop().await;
    check_exactly(&mut scrip, &acknowledged).await;
    assert!(scrip.server.is_running(), "the server came through without a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_leaves_a_node_that_takes_no_more_writes_and_reads_from_the_new_primary_too() {
    let Some(pair) = Pair::start().await else { return };
    let mut scrip = Scrip::on(Launch::new(&pair.url()), pair.standby_url(), None).await;
    scrip.with_points(7, 100).await;
    assert_eq!(scrip.balance(7).await.total, 100);

    // Every session of the service stays open and well; but its transactions are read-only from now on.
    pair.set("default_transaction_read_only = on").await;
    eventually("a charge meets the read-only node", async || {
        let answer = scrip.billing.clone().charge(charge(7, "early", 10)).await;
        if answer.is_err() {
            refused(answer, Code::Unavailable, "STORE_UNAVAILABLE");
            return true;
        }
        false
    })
    .await;
    pair.fail_over().await;
    eventually("the new primary is charged", async || {
        scrip.billing.clone().charge(charge(7, "late", 1)).await.is_ok()
    })
    .await;
    let early = scrip.charge(7, "early", 10).await;
    assert_eq!(early.balance.unwrap().total, 89);
    assert_eq!(scrip.balance(7).await.total, 89, "what is read is what the new primary holds");
    assert_eq!(scrip.task("late").await.money, 1);
    assert_eq!(scrip.verify().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_of_a_node_that_takes_no_more_writes_before_a_charge_meets_it() {
    let Some(pair) = Pair::start().await else { return };
    let mut scrip = Scrip::on(Launch::new(&pair.url()), pair.standby_url(), None).await;
    scrip.with_points(7, 100).await;
    assert_eq!(health(&scrip).await, ServingStatus::Serving);

    pair.set("default_transaction_read_only = on").await;
    eventually("health says so", async || health(&scrip).await == ServingStatus::NotServing).await;
    pair.fail_over().await;
    // Nobody writes meanwhile: the probe alone finds the new primary.
    eventually("health has found the new primary", async || health(&scrip).await == ServingStatus::Serving)
        .await;
    scrip.charge(7, "late", 1).await;
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn health(scrip: &Scrip) -> ServingStatus {
    let answer = HealthClient::new(scrip.server.lazy_channel()).check(HealthCheckRequest::default()).await;
    answer.unwrap().into_inner().status()
}
