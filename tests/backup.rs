//! Backups taken while clients charge, as an operator takes them (docs/backup.md): what is restored verifies, serves,
//! and has every charge that was acknowledged before the backup began.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use support::client::{KEK, Scrip, charge, verify};
use support::postgres::{Cluster, connect, on_path, through};
use support::server::Launch;
use support::{eventually, say_not_run};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const CALLERS: i64 = 4;
const FUNDS: i64 = 1_000_000;
/// Charges before the backup begins.
const BEFORE: usize = 100;

/// Callers that charge one task after the other, from before the backup to after it.
struct Load {
    callers: JoinSet<()>,
    stop: Arc<AtomicBool>,
    acknowledged: mpsc::UnboundedReceiver<String>,
}

impl Load {
    async fn start(scrip: &mut Scrip) -> Load {
        let (tell, acknowledged) = mpsc::unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for caller in 1..=CALLERS {
            scrip.credit(caller, FUNDS, pb::Purse::Points, &format!("fund-{caller}")).await;
            let (tell, stop) = (tell.clone(), Arc::clone(&stop));
            let mut billing = BillingServiceClient::new(scrip.server.channel().await);
            callers.spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let task_id = format!("c{caller}-{n}");
                    billing.charge(charge(caller, &task_id, 1)).await.unwrap();
                    tell.send(task_id).unwrap();
                }
            });
        }
        Load { callers, stop, acknowledged }
    }

    /// The charges that were acknowledged by now: at least so many.
    async fn acknowledged(&mut self, at_least: usize) -> Vec<String> {
        eventually("charges flow", || async { self.acknowledged.len() >= at_least }).await;
        let mut so_far = Vec::new();
        while let Ok(task_id) = self.acknowledged.try_recv() {
            so_far.push(task_id);
        }
        so_far
    }

    async fn stop(mut self) {
        self.acknowledged(1).await;
        self.stop.store(true, Ordering::Relaxed);
        self.callers.join_all().await;
    }
}

/// The restored database verifies, a server serves it, and what was acknowledged before is there.
async fn check(database_url: &str, acknowledged: &[String]) {
    let (code, said) = verify(database_url).await;
    assert_eq!(code, Some(0), "{said}");
    let launch = Launch::new(database_url).env("SCRIP_KEK", KEK);
    let mut scrip = Scrip::on(launch, database_url.to_owned(), None).await;
    for task_id in acknowledged {
        assert_eq!(scrip.task(task_id).await.money, 1, "{task_id} was acknowledged before the backup began");
    }
    scrip.charge(1, "after", 1).await;
    let (code, said) = scrip.verify().await;
    assert_eq!(code, Some(0), "{said}");
}

/// Off the runtime's threads: the load goes on meanwhile.
async fn run(mut command: Command) {
    let ran = tokio::task::spawn_blocking(move || {
        let output = command.stdin(Stdio::null()).output().unwrap();
        (format!("{command:?}"), output)
    });
    let (command, output) = ran.await.unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn on_sqlite(directory: &Path) -> Scrip {
    let url = format!("sqlite://{}", directory.join("scrip.db").display());
    Scrip::on(Launch::new(&url).env("SCRIP_KEK", KEK), url, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_sqlite_made_under_load_has_all_that_was_acknowledged_before() {
    if on_path("sqlite3").is_none() {
        return say_not_run("it needs the program sqlite3");
    }
    let directory = tempfile::tempdir().unwrap();
    let mut scrip = on_sqlite(directory.path()).await;
    let mut load = Load::start(&mut scrip).await;
    let acknowledged = load.acknowledged(BEFORE).await;
    let copy = directory.path().join("copy.db");
    let mut sqlite3 = Command::new("sqlite3");
    sqlite3.arg(directory.path().join("scrip.db"));
    // Whatever the version of this program: it then checkpoints nothing of what the server writes.
    sqlite3.arg(".dbconfig no_ckpt_on_close on");
    sqlite3.arg(format!("VACUUM INTO '{}'", copy.display()));
    run(sqlite3).await;
    load.stop().await;
    check(&format!("sqlite://{}", copy.display()), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_file_that_a_stopped_server_leaves_is_a_whole_copy() {
    let directory = tempfile::tempdir().unwrap();
    let mut scrip = on_sqlite(directory.path()).await;
    let mut load = Load::start(&mut scrip).await;
    let mut acknowledged = load.acknowledged(BEFORE).await;
    load.stop.store(true, Ordering::Relaxed);
    load.callers.join_all().await;
    while let Ok(task_id) = load.acknowledged.try_recv() {
        acknowledged.push(task_id);
    }
    scrip.server.sigterm().await;
    assert!(scrip.server.wait().await.success());
    let copy = directory.path().join("copy.db");
    std::fs::copy(directory.path().join("scrip.db"), &copy).unwrap();
    check(&format!("sqlite://{}", copy.display()), &acknowledged).await;
}

/// A cluster of its own and a server on it; `None` where one of these programs is not there, which has been said.
async fn on_postgres(programs: &[&str]) -> Option<(Cluster, Scrip)> {
    let cluster = Cluster::start()?;
    if let Some(missing) = programs.iter().find(|name| cluster.program(name).is_none()) {
        say_not_run(&format!("it needs PostgreSQL's {missing}"));
        return None;
    }
    cluster.create_database("scrip").await;
    let url = cluster.url("scrip");
    let scrip = Scrip::on(Launch::new(&url).env("SCRIP_KEK", KEK), url, None).await;
    Some((cluster, scrip))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_postgres_made_under_load_restores_all_that_was_acknowledged_before() {
    let Some((cluster, mut scrip)) = on_postgres(&["pg_dump", "pg_restore"]).await else { return };
    let mut load = Load::start(&mut scrip).await;
    let acknowledged = load.acknowledged(BEFORE).await;
    let dump = cluster.directory().join("dump");
    let mut pg_dump = cluster.program("pg_dump").unwrap();
    pg_dump.args(["--format=custom", "--file"]).arg(&dump).arg(cluster.url("scrip"));
    run(pg_dump).await;
    load.stop().await;
    cluster.create_database("restored").await;
    let mut pg_restore = cluster.program("pg_restore").unwrap();
    pg_restore.args(["--exit-on-error", "--dbname", &cluster.url("restored")]).arg(&dump);
    run(pg_restore).await;
    check(&cluster.url("restored"), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_backup_of_postgres_made_under_load_has_all_that_was_acknowledged_before() {
    let Some((cluster, mut scrip)) = on_postgres(&["pg_basebackup"]).await else { return };
    let mut load = Load::start(&mut scrip).await;
    let acknowledged = load.acknowledged(BEFORE).await;
    let copy = cluster.base_backup().await;
    load.stop().await;
    check(&copy.url("scrip"), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_restored_to_any_moment_whose_wal_was_kept() {
    // Beside the cluster's data, where the command runs.
    let kept = [("archive_mode", "on"), ("archive_command", "mkdir -p ../wal && cp %p ../wal/%f")];
    let Some(cluster) = Cluster::start_with(&kept) else { return };
    if cluster.program("pg_basebackup").is_none() {
        return say_not_run("pg_basebackup is not beside the server");
    }
    let url = cluster.fresh_database().await;
    let mut scrip = Scrip::on(Launch::new(&url).env("SCRIP_KEK", KEK), url.clone(), None).await;
    let backup = cluster.back_up(false).await;
    let mut load = Load::start(&mut scrip).await;
    let before = load.acknowledged(BEFORE).await;
    let mut administrator = connect(&url).await;
    let moment: String =
        sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(&mut administrator).await.unwrap();
    // Of those that are acknowledged next some may have been stored before; not of those that follow them.
    load.acknowledged(BEFORE).await;
    let after = load.acknowledged(BEFORE).await;
    load.stop().await;
    let last: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())")
        .fetch_one(&mut administrator)
        .await
        .unwrap();
    eventually("the last of its WAL is kept", async || {
        let kept = sqlx::query_scalar("SELECT last_archived_wal FROM pg_stat_archiver");
        let newest: Option<String> = kept.fetch_one(&mut connect(&url).await).await.unwrap();
        newest.is_some_and(|newest| newest >= last)
    })
    .await;

    let wal = cluster.directory().join("wal");
    let restored = backup.restore(&moment, &format!("cp {}/%f %p", wal.display())).await;
    let restored_url = through(&url, restored.addr());
    eventually("it is at its moment, and takes writes", async || {
        let recovering = sqlx::query_scalar("SELECT pg_is_in_recovery()");
        let recovering: bool = recovering.fetch_one(&mut connect(&restored_url).await).await.unwrap();
        !recovering
    })
    .await;
    check(&restored_url, &before).await;
    let there = "SELECT count(*) FROM ts_fal_tasks WHERE task_id = $1";
    let later = sqlx::query_scalar(there).bind(after.last().unwrap());
    let later: i64 = later.fetch_one(&mut connect(&restored_url).await).await.unwrap();
    assert_eq!(later, 0, "what came after the moment is not there");
}
