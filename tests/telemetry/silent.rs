//! A collector that is silent, or not there: nothing waits for it.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::support::client::charge;
use crate::world::{USER, World};

/// Takes connections and never says a word.
async fn silent() -> (String, tokio::sync::mpsc::UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (taken, connections) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if taken.send(stream).is_err() {
                return;
            }
        }
    });
    (url, connections)
}

/// More calls than any queue holds, all answered; then a stop, which does not wait for the collector: an export that is
/// under way may take an hour.
async fn nothing_waits(protocol: &str) {
    let (url, mut connections) = silent().await;
    let mut world = World::on_sqlite(|launch| {
        launch
            .env("SCRIP_OTLP_ENDPOINT", url)
            .env("SCRIP_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "64")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    })
    .await;
    world.scrip.with_points(USER, 100_000).await;
    // An export is stuck from now on.
    let stuck = tokio::time::timeout(Duration::from_secs(60), connections.recv()).await;
    assert!(stuck.is_ok_and(|stream| stream.is_some()), "the exporter never connected");
    for round in 0..4 {
        let calls = (0..100).map(|job| {
            let mut billing = world.scrip.billing.clone();
            async move { billing.charge(charge(USER, &format!("job-{round}-{job}"), 1)).await }
        });
        for answer in futures::future::join_all(calls).await {
            answer.unwrap();
        }
    }
    world.scrip.server.sigterm().await;
    // It ends although no export ever does.
    let status = world.scrip.server.wait().await;
    let logs = world.scrip.server.logs();
    assert!(status.success(), "{logs}");
    assert!(logs.contains("the last telemetry could not be exported in time"), "{logs}");
    assert!(logs.lines().any(|line| line == "stopped"), "nothing was cut: {logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_silent_over_grpc_delays_neither_calls_nor_the_end() {
    nothing_waits("grpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_silent_over_http_delays_neither_calls_nor_the_end() {
    nothing_waits("http").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_is_complained_of_once_and_counted() {
    // A port that nobody listens at any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let mut world = World::on_sqlite(|launch| {
        launch
            .env("SCRIP_OTLP_ENDPOINT", url)
            .env("SCRIP_OTLP_PROTOCOL", "http")
            .env("SCRIP_OTLP_SIGNALS", "traces")
    })
    .await;
    world.scrip.with_points(USER, 100).await;
    let failed = [("signal", "traces"), ("outcome", "failed")];
    world.until("exports failed", |scrape| scrape.sum("scrip_telemetry_exports_total", &failed) >= 1.0).await;
    for job in 0..5 {
        world.scrip.charge(USER, &format!("job-{job}"), 1).await;
    }
    world
        .until("more exports failed", |scrape| scrape.sum("scrip_telemetry_exports_total", &failed) >= 2.0)
        .await;
    world.scrip.server.sigterm().await;
    assert!(world.scrip.server.wait().await.success());
    let logs = world.scrip.server.logs();
    assert_eq!(logs.matches("telemetry could not be exported and is lost").count(), 1, "{logs}");
}
