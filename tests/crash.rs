//! What survives when things are killed under load: the server, the database, the connection at COMMIT. And three
//! servers on one database. Whatever was acknowledged is there, once; what was not is there once or not at all.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "support/load.rs"]
mod load;
mod support;

use load::{Load, USERS, check, fund};
use scrip::pb;
use support::client::{Scrip, charge, credit, verify};
use support::cut_proxy::{Cut, CutProxy};
use support::postgres;
use support::server::Launch;
use tokio::task::JoinSet;
use tonic::Code;

async fn kill_nine_ten_times(launch: impl Fn() -> Launch, database_url: String) {
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        let mut scrip = Scrip::on(launch(), database_url.clone(), None).await;
        fund(&mut scrip).await;
        let mut channels = Vec::new();
        for _ in 0..8 {
            channels.push(scrip.server.channel().await);
        }
        let load = Load::start(round, channels, false);
        // Another moment each round.
        load.until(u64::try_from(37 * (round + 1) % 211).unwrap()).await;
        scrip.server.kill9().await;
        acknowledged.extend(load.end().await);
    }
    assert!(acknowledged.len() > 500, "the load was real: {}", acknowledged.len());
    let mut scrip = Scrip::on(launch(), database_url, None).await;
    check(&mut scrip, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("scrip.db").display());
    kill_nine_ten_times(|| Launch::new(&url), url.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed_on_postgres() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    kill_nine_ten_times(|| Launch::new(&url), url.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_postgres_is_killed_under_load() {
    let Some(cluster) = postgres::Cluster::start() else { return };
    let url = cluster.fresh_database().await;
    let mut scrip = Scrip::on(Launch::new(&url), url.clone(), None).await;
    fund(&mut scrip).await;
    let channels = (0..8).map(|_| scrip.server.lazy_channel()).collect();
    let load = Load::start(0, channels, true);
    for round in 1..=3 {
        load.until(load.acknowledged() + 50 * round).await;
        cluster.stop_immediate().await;
        cluster.restart().await;
    }
    load.until(load.acknowledged() + 50).await;
    let acknowledged = load.stop().await;
    check(&mut scrip, &acknowledged).await;
    assert!(scrip.server.is_running(), "the server came through without a restart");
}

/// One caller, so that each COMMIT is that of one charge: whichever side of it the connection is cut, the caller hears
/// the one true answer.
async fn cut_at_commit(cut: Cut) {
    let Some(cluster) = postgres::shared() else { return };
    let direct = cluster.fresh_database().await;
    let proxy = CutProxy::start(cluster.addr()).await;
    let launch = Launch::new(&postgres::through(&direct, proxy.addr()));
    let mut scrip = Scrip::on(launch, direct.clone(), None).await;
    scrip.with_points(7, 1_000).await;
    for n in 0..10 {
        proxy.arm(cut, 1);
        let cuts = proxy.cuts();
        let answer = scrip.charge(7, &format!("job-{n}"), 10).await;
        assert!(!answer.replayed, "the caller sent it once");
        assert_eq!(answer.entries.len(), 1);
        assert_eq!(proxy.cuts(), cuts + 1, "the connection was cut at this charge's COMMIT");
    }
    assert_eq!(scrip.balance(7).await.total, 900);
    let (code, output) = verify(&direct).await;
    assert_eq!(code, Some(0), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_cut_before_the_database_saw_it_is_run_again() {
    cut_at_commit(Cut::BeforeCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_cut_after_the_database_did_it_is_found_and_answered() {
    cut_at_commit(Cut::AfterCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_on_one_database_spend_no_point_twice() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    // Started at once: each finds the database empty and migrates it.
    let (one, two, three) = tokio::join!(
        Scrip::on(Launch::new(&url), url.clone(), None),
        Scrip::on(Launch::new(&url), url.clone(), None),
        Scrip::on(Launch::new(&url), url.clone(), None),
    );
    let mut servers = [one, two, three];
    // Enough for half of what will be asked; every charge goes to all three servers at once.
    let asked = 300;
    for user_id in 1..=USERS {
        servers[0].billing.credit(credit(user_id, asked * 5, pb::Purse::Points, "fund")).await.unwrap();
    }
    let mut callers = JoinSet::new();
    for user_id in 1..=USERS {
        for server in &servers {
            let billing = server.billing.clone();
            for part in 0..4 {
                let mut billing = billing.clone();
                callers.spawn(async move {
                    let mut first = 0;
                    for n in (part..asked).step_by(4) {
                        match billing.charge(charge(user_id, &format!("u{user_id}-{n}"), 10)).await {
                            Ok(answer) => first += i64::from(!answer.into_inner().replayed),
                            Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}"),
                        }
                    }
                    first
                });
            }
        }
    }
    let charged: i64 = callers.join_all().await.into_iter().sum();
    // Each charge was done first by exactly one of the three, until the money was gone.
    assert_eq!(charged * 10, USERS * asked * 5);
    for user_id in 1..=USERS {
        assert_eq!(servers[2].balance(user_id).await.total, 0);
    }
    let (code, output) = servers[1].verify().await;
    assert_eq!(code, Some(0), "{output}");
}
