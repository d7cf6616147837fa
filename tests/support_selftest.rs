//! The tests' own ground, tested: what a crash test rests on must itself be shown to hold.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::{Connection, PgConnection};
use support::cut_proxy::{Cut, CutProxy};
use support::postgres::{self, Cluster, connect, through};
use support::server::Launch;

/// A database with an empty table `paid`, a proxy in front, and a connection through it.
async fn behind_a_proxy(cluster: &Cluster) -> (String, CutProxy, PgConnection) {
    let url = cluster.fresh_database().await;
    let mut direct = connect(&url).await;
    sqlx::raw_sql("CREATE TABLE paid (id bigint PRIMARY KEY)").execute(&mut direct).await.unwrap();
    let proxy = CutProxy::start(cluster.addr()).await;
    let client = connect(&through(&url, proxy.addr())).await;
    (url, proxy, client)
}

async fn pay(client: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    let mut transaction = client.begin().await?;
    sqlx::query("INSERT INTO paid VALUES ($1)").bind(id).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn paid(url: &str) -> Vec<i64> {
    let mut direct = connect(url).await;
    sqlx::query_scalar("SELECT id FROM paid ORDER BY id").fetch_all(&mut direct).await.unwrap()
}

async fn sessions_in_transaction(url: &str) -> i64 {
    let mut direct = connect(url).await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in t%'";
    sqlx::query_scalar(sql).fetch_one(&mut direct).await.unwrap()
}

#[tokio::test]
async fn an_unarmed_proxy_passes_everything_on() {
    let Some(cluster) = postgres::shared() else { return };
    let (url, proxy, mut client) = behind_a_proxy(cluster).await;
    for id in 1..=3 {
        pay(&mut client, id).await.unwrap();
    }
    let wide = "x".repeat(1_000_000);
    let back: String =
        sqlx::query_scalar("SELECT $1::text").bind(&wide).fetch_one(&mut client).await.unwrap();
    assert_eq!(back, wide);
    assert_eq!(paid(&url).await, [1, 2, 3]);
    assert_eq!((proxy.commits(), proxy.cuts()), (3, 0));
}

#[tokio::test]
async fn a_cut_before_commit_leaves_no_row() {
    let Some(cluster) = postgres::shared() else { return };
    let (url, proxy, mut client) = behind_a_proxy(cluster).await;
    proxy.arm(Cut::BeforeCommit, 1);
    pay(&mut client, 1).await.expect_err("the connection was cut");
    assert_eq!(proxy.cuts(), 1);
    support::eventually("the server's session ends", async || sessions_in_transaction(&url).await == 0).await;
    assert_eq!(paid(&url).await, [0_i64; 0]);
}

#[tokio::test]
async fn a_cut_after_commit_leaves_the_row_though_the_client_saw_an_error() {
    let Some(cluster) = postgres::shared() else { return };
    let (url, proxy, mut client) = behind_a_proxy(cluster).await;
    proxy.arm(Cut::AfterCommit, 1);
    pay(&mut client, 1).await.expect_err("the answer was withheld");
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(paid(&url).await, [1]);
}

#[tokio::test]
async fn only_the_armed_commit_is_cut_and_the_next_connection_works() {
    let Some(cluster) = postgres::shared() else { return };
    let (url, proxy, mut client) = behind_a_proxy(cluster).await;
    proxy.arm(Cut::BeforeCommit, 3);
    pay(&mut client, 1).await.unwrap();
    pay(&mut client, 2).await.unwrap();
    pay(&mut client, 3).await.expect_err("the third commit was cut");
    let mut client = connect(&through(&url, proxy.addr())).await;
    pay(&mut client, 4).await.unwrap();
    assert_eq!(paid(&url).await, [1, 2, 4]);
    assert_eq!((proxy.commits(), proxy.cuts()), (4, 1));
}

#[tokio::test]
async fn a_commit_sent_as_a_prepared_statement_is_noticed_on_both_sides() {
    let Some(cluster) = postgres::shared() else { return };
    for (cut, expected) in [(Cut::BeforeCommit, vec![]), (Cut::AfterCommit, vec![7])] {
        let (url, proxy, mut client) = behind_a_proxy(cluster).await;
        proxy.arm(cut, 1);
        sqlx::query("BEGIN").execute(&mut client).await.unwrap();
        sqlx::query("INSERT INTO paid VALUES (7)").execute(&mut client).await.unwrap();
        sqlx::query("COMMIT").execute(&mut client).await.expect_err("cut");
        assert_eq!((proxy.commits(), proxy.cuts()), (1, 1), "{cut:?}");
        assert_eq!(paid(&url).await, expected, "{cut:?}");
    }
}

#[tokio::test]
async fn a_commit_at_the_end_of_a_script_is_noticed() {
    let Some(cluster) = postgres::shared() else { return };
    let (url, proxy, mut client) = behind_a_proxy(cluster).await;
    proxy.arm(Cut::AfterCommit, 1);
    let script = "BEGIN; INSERT INTO paid VALUES (5); commit;";
    sqlx::raw_sql(script).execute(&mut client).await.expect_err("cut");
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(paid(&url).await, [5]);
}

#[tokio::test]
async fn a_silent_commit_keeps_the_client_waiting_on_either_side() {
    let Some(cluster) = postgres::shared() else { return };
    for (cut, expected, open) in [(Cut::SilentBefore, vec![], 1), (Cut::SilentAfter, vec![1], 0)] {
        let (url, proxy, mut client) = behind_a_proxy(cluster).await;
        proxy.arm(cut, 1);
        let paying = tokio::spawn(async move { pay(&mut client, 1).await });
        proxy.wait_for_cuts(1).await;
        assert_eq!(paid(&url).await, expected, "{cut:?}");
        assert_eq!(sessions_in_transaction(&url).await, open, "{cut:?}: the orphan holds its locks");
        assert!(!paying.is_finished(), "{cut:?}");
        drop(proxy);
        paying.await.unwrap().expect_err("the proxy is gone");
        support::eventually("the orphan is gone", async || sessions_in_transaction(&url).await == 0).await;
    }
}

#[tokio::test]
async fn each_fresh_database_is_new_and_reached_over_tcp_and_the_unix_socket() {
    let Some(cluster) = Cluster::start() else { return };
    let (one, other) = (cluster.fresh_database().await, cluster.fresh_database().await);
    assert_ne!(one, other);
    cluster.create_database("named").await;
    let database: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut connect(&cluster.socket_url("named")).await)
        .await
        .unwrap();
    assert_eq!(database, "named");
    for (setting, expected) in [("fsync", "on"), ("synchronous_commit", "on"), ("max_connections", "200")] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connect(&one).await)
            .await
            .unwrap();
        assert_eq!(value, expected, "{setting}");
    }
}

#[tokio::test]
async fn a_crashed_cluster_comes_back_at_its_address_with_what_was_committed() {
    let Some(cluster) = Cluster::start_with(&[("lock_timeout", "1234ms")]) else { return };
    let (url, _proxy, mut client) = behind_a_proxy(&cluster).await;
    pay(&mut client, 1).await.unwrap();
    cluster.stop_immediate().await;
    pay(&mut client, 2).await.expect_err("the server is away");
    cluster.restart().await;
    assert_eq!(paid(&url).await, [1]);
    assert!(cluster.log().contains("not properly shut down"), "it was a crash:\n{}", cluster.log());
    let setting: String =
        sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut connect(&url).await).await.unwrap();
    assert_eq!(setting, "1234ms");
}

#[tokio::test]
async fn killed_sessions_see_an_error_and_others_live_on() {
    let Some(cluster) = Cluster::start() else { return };
    let (url, other) = (cluster.fresh_database().await, cluster.fresh_database().await);
    let (mut victim, mut bystander) = (connect(&url).await, connect(&other).await);
    assert_eq!(cluster.kill_backends_of(&url).await, 1);
    victim.ping().await.expect_err("its session was ended");
    bystander.ping().await.unwrap();
    assert_eq!(cluster.kill_backends().await, 1);
    bystander.ping().await.expect_err("its session was ended");
    connect(&url).await.ping().await.unwrap();
}

#[tokio::test]
async fn a_dropped_cluster_leaves_nothing_behind_even_after_a_panic() {
    let Some(cluster) = Cluster::start() else { return };
    let (directory, addr) = (cluster.directory().to_owned(), cluster.addr());
    let panicked = tokio::task::spawn_blocking(move || {
        let _cluster = cluster;
        panic!("a failing test (this message is expected)");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!directory.exists());
    std::net::TcpStream::connect(addr).expect_err("nobody listens");
}

/// Runs one test of this binary again as a process of its own, in another role that `SELFTEST_ROLE` names.
fn as_child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::null());
    // Its shared cluster is one that it starts itself, also where this suite runs against another server.
    command.env("SELFTEST_ROLE", "child").env_remove(postgres::URL_VARIABLE);
    command
}

fn in_child_role() -> bool {
    std::env::var_os("SELFTEST_ROLE").is_some()
}

/// The rest of the first line of a child's output that starts with `prefix`.
fn line_of(stdout: std::process::ChildStdout, prefix: &str) -> String {
    use std::io::BufRead;
    let lines = std::io::BufReader::new(stdout).lines();
    let line = lines.map(Result::unwrap).find_map(|line| Some(line.strip_prefix(prefix)?.to_owned()));
    line.unwrap_or_else(|| panic!("the child ended without {prefix}"))
}

/// A static is never dropped, and a killed process drops nothing: the watchdog must have done it.
async fn gone(directory: &Path, addr: &str) {
    support::eventually("the directory is removed", async || !directory.exists()).await;
    std::net::TcpStream::connect(addr).expect_err("nobody listens");
}

#[tokio::test]
async fn a_cluster_does_not_outlive_a_killed_test_process() {
    let Some(cluster) = Cluster::start() else { return };
    if in_child_role() {
        println!("\ncluster {} {}", cluster.directory().display(), cluster.addr());
        return std::future::pending().await;
    }
    drop(cluster);
    let test = "a_cluster_does_not_outlive_a_killed_test_process";
    let mut child = as_child(test).stdout(Stdio::piped()).spawn().unwrap();
    let said = line_of(child.stdout.take().unwrap(), "cluster ");
    let (directory, addr) = said.split_once(' ').unwrap();
    assert!(Path::new(directory).join("data/postmaster.pid").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    gone(Path::new(directory), addr).await;
}

#[test]
fn the_shared_cluster_ends_with_a_test_process_that_returns() {
    let Some(shared) = postgres::shared() else { return };
    if in_child_role() {
        return println!("\ncluster {} {}", shared.directory().display(), shared.addr());
    }
    let test = "the_shared_cluster_ends_with_a_test_process_that_returns";
    let output = as_child(test).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let said = said.lines().find_map(|line| line.strip_prefix("cluster ")).unwrap();
    let (directory, addr) = said.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(gone(Path::new(directory), addr));
}

#[test]
#[should_panic(expected = "Install it (Debian: apt-get install postgresql)")]
fn without_postgresql_a_test_fails_and_says_what_to_install() {
    postgres::require_server(&[PathBuf::from("/nowhere")]);
}

#[test]
fn a_skipped_test_says_aloud_that_it_did_not_run() {
    let test = "an_unarmed_proxy_passes_everything_on";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(postgres::SKIP_VARIABLE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success());
    // Captured output of a passing test would not be shown: it must have gone around the capture.
    assert!(said.contains(&format!("DID NOT RUN: {test}")), "{said}");
}

/// A shell in the server's place.
fn shell(script: &str) -> Launch {
    Launch::stand_in("sh", &["-c", script])
}

#[tokio::test]
async fn a_server_process_is_known_by_the_address_it_prints_and_its_logs_are_kept() {
    let script =
        "echo starting; echo oops >&2; echo listening on 127.0.0.1:4711; echo \"$MARK\"; exec sleep 600";
    let mut server = shell(script).env("MARK", "after").start().await;
    assert_eq!(server.addr().to_string(), "127.0.0.1:4711");
    support::eventually("all is logged", async || {
        ["starting", "oops", "after"].iter().all(|word| server.logs().contains(word))
    })
    .await;
    assert!(server.is_running());
    assert_eq!(server.kill9().await.signal(), Some(9));
    assert!(!server.is_running());
}

#[tokio::test]
async fn a_server_process_that_is_asked_to_stop_ends_in_its_own_way() {
    let script = "trap 'exit 7' TERM; echo listening on 127.0.0.1:1; while :; do sleep 0.01; done";
    let mut server = shell(script).start().await;
    server.sigterm().await;
    assert_eq!(server.wait().await.code(), Some(7));
}

#[tokio::test]
async fn a_server_process_that_refuses_to_start_is_reported_with_what_it_said() {
    let refused = shell("echo 'not our database' >&2; exit 3").try_start().await.unwrap_err();
    assert_eq!(refused.status.code(), Some(3));
    assert!(refused.logs.contains("not our database"));
}

#[tokio::test]
async fn a_server_process_does_not_outlive_a_killed_test_process() {
    if postgres::on_path("setpriv").is_none() {
        return support::say_not_run("without setpriv a killed test process leaves its servers behind");
    }
    if in_child_role() {
        let server = shell("echo listening on 127.0.0.1:1; exec sleep 600").start().await;
        println!("\nserver {}", server.pid());
        return std::future::pending().await;
    }
    let test = "a_server_process_does_not_outlive_a_killed_test_process";
    // The killed child removes nothing of its own, so it works in a place that is removed here.
    let place = tempfile::tempdir().unwrap();
    let mut child = as_child(test).env("TMPDIR", place.path()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = line_of(child.stdout.take().unwrap(), "server ");
    let alive = async || {
        Command::new("sh").args(["-c", &format!("kill -0 {pid}")]).output().unwrap().status.success()
    };
    assert!(alive().await);
    child.kill().unwrap();
    child.wait().unwrap();
    support::eventually("the server is gone", async || !alive().await).await;
}
