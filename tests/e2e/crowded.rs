//! More sockets than there is room for, and sockets that say nothing: what the server keeps for itself, and that it stops.

use std::net::SocketAddr;
use std::time::Duration;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::client::{KEK, Scrip, charge, verify};
use crate::support::server::Launch;
use crate::support::{eventually, postgres};

/// Fewer descriptors than the sockets that come.
const DESCRIPTORS: usize = 256;

/// Connects as often as asked; one that the server leaves in its backlog is as good.
async fn silent(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        connecting.spawn(timeout(Duration::from_secs(1), TcpStream::connect(addr)));
    }
    connecting.join_all().await.into_iter().filter_map(|connected| connected.ok()?.ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_without_end_leave_the_server_the_descriptors_that_it_needs_itself() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
    let few = format!("ulimit -n {DESCRIPTORS} && exec \"$@\"");
    let words = ["-c", &few, "sh", env!("CARGO_BIN_EXE_scrip"), "serve", "--listen=127.0.0.1:0"];
    let launch = Launch::stand_in("sh", &words).env("SCRIP_DATABASE_URL", &url);
    let launch = launch.arg("--first-byte-timeout=1h");
    let mut scrip = Scrip::on(launch, url.clone(), Some(folder)).await;
    scrip.with_points(7, 100).await;
    let descriptors = format!("/proc/{}/fd", scrip.server.pid());
    let open = || std::fs::read_dir(&descriptors).unwrap().count();
    let before = open();
    let crowd = silent(scrip.server.addr(), DESCRIPTORS + 100).await;
    assert!(crowd.len() > DESCRIPTORS / 2, "{}", crowd.len());
    // It keeps 192 for itself, so that 64 are served at once.
    eventually("the places are taken", async || open() >= before + 48).await;
    for job in 0..20 {
        scrip.charge(7, &format!("job-{job}"), 1).await;
    }
    // Another process opens the file as well, so that it is locked and read anew.
    assert_eq!(verify(&url).await.0, Some(0));
    let logs = scrip.server.logs();
    assert!(!logs.contains("cannot accept connections"), "{logs}");
    assert!(open() < DESCRIPTORS, "some are left");
}

/// Of the two timeouts that could end silent connections both are an hour: only the drain's own rule can.
async fn a_stop_waits_for_no_silent_socket(launch: Launch, url: String) {
    let launch = launch.arg("--first-byte-timeout=1h").arg("--drain-timeout=1h");
    let mut scrip = Scrip::on(launch, url.clone(), None).await;
    scrip.with_points(7, 1_000_000).await;
    let addr = scrip.server.addr();
    let _silent = silent(addr, 5).await;
    let mut begun = silent(addr, 5).await;
    for connection in &mut begun {
        connection.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    }
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let mut billing = BillingServiceClient::new(scrip.server.channel().await);
        callers.spawn(async move {
            let mut acknowledged = 0_i64;
            while billing.charge(charge(7, &format!("job-{caller}-{acknowledged}"), 1)).await.is_ok() {
                acknowledged += 1;
            }
            acknowledged
        });
    }
    let billing = scrip.billing.clone();
    eventually("charges flow", || {
        let mut billing = billing.clone();
        async move {
            let asked = pb::GetBalanceRequest { user_id: 7, as_of_time: None };
            billing.get_balance(asked).await.unwrap().into_inner().balance.unwrap().entry_seq > 100
        }
    })
    .await;
    scrip.server.sigterm().await;
    let acknowledged: i64 = callers.join_all().await.into_iter().sum();
    let status = scrip.server.wait().await;
    let logs = scrip.server.logs();
    assert!(status.success(), "{status}\n{logs}");
    assert!(logs.contains("\"connections_cut\":0"), "{logs}");
    assert!(logs.lines().any(|line| line == "stopped"), "{logs}");

    let mut again = Scrip::on(Launch::new(&url), url.clone(), None).await;
    assert_eq!(again.balance(7).await.total, 1_000_000 - acknowledged, "what was taken was answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_waits_for_no_silent_socket_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
    a_stop_waits_for_no_silent_socket(Launch::new(&url), url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_waits_for_no_silent_socket_on_postgres() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    a_stop_waits_for_no_silent_socket(Launch::new(&url).env("SCRIP_KEK", KEK), url).await;
}
