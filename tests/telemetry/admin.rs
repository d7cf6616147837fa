//! The admin port: probes, the log's level, and what it refuses.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scrape::{get, http};
use crate::support::client::Scrip;
use crate::support::eventually;
use crate::world::{USER, World};

async fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"));
    let output = command.arg("health").args(arguments).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_follow_the_service_from_its_start_to_its_drain() {
    let mut world = World::on_sqlite(|launch| launch).await;
    assert_eq!(get(world.admin, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(world.admin, "/readyz").await, (200, "ready\n".to_owned()));
    let ready = format!("http://{}/readyz", world.admin);
    assert_eq!(health(&["--url", &ready]).await, (Some(0), "ready\n".to_owned()));
    let there = format!("http://{}/nowhere", world.admin);
    assert_eq!(health(&["--url", &there]).await.0, Some(1));

    // Draining or gone already, whichever the probe meets: not ready.
    world.scrip.server.sigterm().await;
    eventually("it is not ready any more", || async { health(&["--url", &ready]).await.0 == Some(1) }).await;
    assert!(world.scrip.server.wait().await.success());
    assert_eq!(health(&["--url", &ready]).await.0, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_made_to_tell_more_and_less_while_it_runs() {
    let mut world = World::on_sqlite(|launch| launch.env("SCRIP_LOG", "warn")).await;
    assert_eq!(get(world.admin, "/log").await, (200, "warn\n".to_owned()));
    world.scrip.with_points(USER, 100).await;
    assert!(!world.scrip.server.logs().contains("scrip::access"));

    let put = |filter: &'static str| http(world.admin, "PUT /log HTTP/1.1", filter);
    assert_eq!(put("info").await, (200, "info\n".to_owned()));
    world.scrip.charge(USER, "job", 1).await;
    let line = r#""method":"scrip.v1.BillingService/Charge""#;
    eventually("the call is in the log", || std::future::ready(world.scrip.server.logs().contains(line)))
        .await;

    let (status, why) = put("info,scrip=loud").await;
    assert_eq!(status, 400, "{why}");
    assert!(why.contains("no filter such as"), "{why}");
    assert_eq!(get(world.admin, "/log").await, (200, "info\n".to_owned()));
    assert_eq!(put("").await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_anything_asked_for_a_call_is_a_line_and_nothing_else_is_told() {
    let mut scrip = Scrip::on_sqlite().await;
    scrip.with_points(USER, 100).await;
    let is_the_line = |line: &str| {
        line.contains(r#""target":"scrip::access""#)
            && line.contains(r#""method":"scrip.v1.BillingService/Credit""#)
            && line.contains(&format!(r#""user_id":{USER}"#))
            && line.contains(r#""code":"OK""#)
            && line.contains("trace_id")
    };
    eventually("the line", || std::future::ready(scrip.server.logs().lines().any(is_the_line))).await;
    assert!(!scrip.server.logs().contains("admin: "), "there is no such port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_question_of_an_operator_is_refused() {
    let world = World::on_sqlite(|launch| launch).await;
    let from_a_browser = "PUT /log HTTP/1.1\r\norigin: http://127.0.0.1";
    assert_eq!(http(world.admin, from_a_browser, "trace").await.0, 403);
    assert_eq!(get(world.admin, "/log").await.1, "info\n");
    assert_eq!(http(world.admin, "POST /log HTTP/1.1", "trace").await.0, 405);
    assert_eq!(http(world.admin, "PUT /log HTTP/1.1", &"x".repeat(5_000)).await.0, 413);
    assert_eq!(get(world.admin, "/").await.0, 404);
    // One request a connection: it is closed after it.
    let mut stream = TcpStream::connect(world.admin).await.unwrap();
    let twice = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    stream.write_all(twice.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The second request may have been met by a reset.
    stream.read_to_string(&mut answer).await.ok();
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_do_not_keep_the_port() {
    let world = World::on_sqlite(|launch| launch).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(world.admin).await.unwrap());
    }
    // All places are taken; they are free again once the silent ones are closed.
    assert_eq!(get(world.admin, "/healthz").await.0, 200);
}
