//! The service behind PgBouncer in transaction mode, with fewer server sessions than it has connections.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "support/everything.rs"]
mod everything;
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "support/load.rs"]
mod load;
#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "support/pgbouncer.rs"]
mod pgbouncer;
mod support;

use load::{Load, check_exactly, fund};
use pgbouncer::PgBouncer;
use support::client::{Scrip, verify};
use support::postgres;
use support::server::Launch;
use tokio::process::Command;

async fn migrate(url: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["migrate", "--database-url", url])
        .output()
        .await
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_three_server_sessions_and_charge_each_point_once() {
    let Some(cluster) = postgres::shared() else { return };
    let Some(pgbouncer) = PgBouncer::start(cluster.addr(), 3).await else { return };
    let direct = cluster.fresh_database().await;
    let url = pgbouncer.url(&direct);
    assert!(migrate(&direct).await.0);
    let launch = Launch::new(&url).arg("--lanes").arg("4");
    let mut scrip = Scrip::on(launch.clone(), url.clone(), None).await;
    let other = launch.start().await;
    fund(&mut scrip).await;
    let channels =
        (0..12).map(|n| if n % 2 == 0 { scrip.server.lazy_channel() } else { other.lazy_channel() });
    let load = Load::start(0, channels.collect(), true);
    load.until(1_000).await;
    let acknowledged = load.stop().await;
    // Verifies through the pooler; and once more directly.
    check_exactly(&mut scrip, &acknowledged).await;
    assert_eq!(verify(&direct).await.0, Some(0));
    let logs = format!("{}{}", scrip.server.logs(), other.logs());
    assert!(!logs.contains("prepared statement"), "{logs}\n{}", pgbouncer.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_a_service_does_goes_through_the_pooler() {
    let Some(cluster) = postgres::shared() else { return };
    let Some(pgbouncer) = PgBouncer::start(cluster.addr(), 3).await else { return };
    let direct = cluster.fresh_database().await;
    let url = pgbouncer.url(&direct);
    assert!(migrate(&direct).await.0);
    let scrip = everything::done(Launch::new(&url), &url).await;
    let (code, output) = scrip.verify().await;
    assert_eq!(code, Some(0), "{output}");
    assert!(!scrip.server.logs().contains("the store failed"), "{}", scrip.server.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_go_through_the_pooler_is_refused_with_what_to_do() {
    let Some(cluster) = postgres::shared() else { return };
    let Some(pgbouncer) = PgBouncer::start(cluster.addr(), 3).await else { return };
    let direct = cluster.fresh_database().await;
    let url = pgbouncer.url(&direct);

    let (is_migrated, words) = migrate(&url).await;
    assert!(!is_migrated && words.contains("leads to PostgreSQL itself"), "{words}");
    let serve = |url: &str| {
        Command::new(env!("CARGO_BIN_EXE_scrip"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url", url])
            .kill_on_drop(true)
            .output()
    };
    let refused = serve(&url).await.unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && words.contains("leads to PostgreSQL itself"), "{words}");
    // Who forgets to say that a pooler is there is told so, and not served now and then.
    let forgotten = serve(&url.replace("&pgbouncer=true", "")).await.unwrap();
    let words = String::from_utf8_lossy(&forgotten.stderr);
    assert!(!forgotten.status.success() && words.contains("pgbouncer=true"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lone_session_would_be_set_to_is_set_in_every_transaction() {
    let Some(cluster) = postgres::shared() else { return };
    let Some(pgbouncer) = PgBouncer::start(cluster.addr(), 1).await else { return };
    let direct = cluster.fresh_database().await;
    assert!(migrate(&direct).await.0);
    // As an operator might have it: the service must not rely on it, and it must come back for others.
    let mut admin = postgres::connect(&direct).await;
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut admin).await.unwrap();
    let slow = format!("ALTER DATABASE \"{database}\" SET default_transaction_isolation = 'serializable'");
    sqlx::query(sqlx::AssertSqlSafe(slow)).execute(&mut admin).await.unwrap();
    let seen = "CREATE TABLE seen AS SELECT ''::text AS isolation, ''::text AS durable, ''::text AS lock_timeout LIMIT 0";
    sqlx::query(seen).execute(&mut admin).await.unwrap();
    let note = "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO seen VALUES (current_setting('transaction_isolation'), current_setting('synchronous_commit'), \
        current_setting('lock_timeout')); RETURN NULL; END $$";
    sqlx::raw_sql(note).execute(&mut admin).await.unwrap();
    let trigger =
        "CREATE TRIGGER note AFTER INSERT ON ts_fal_tasks FOR EACH STATEMENT EXECUTE FUNCTION note()";
    sqlx::raw_sql(trigger).execute(&mut admin).await.unwrap();

    let url = pgbouncer.url(&direct);
    let mut scrip = Scrip::on(Launch::new(&url), url, None).await;
    scrip.with_points(7, 100).await;
    scrip.charge(7, "job", 10).await;
    let seen: Vec<(String, String, String)> =
        sqlx::query_as("SELECT isolation, durable, lock_timeout FROM seen")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert!(!seen.is_empty());
    for settings in seen {
        let settings = (&*settings.0, &*settings.1, &*settings.2);
        assert_eq!(settings, ("read committed", "on", "5s"));
    }
    // The one session behind the pooler is as it was.
    let plain = postgres::through(&direct, pgbouncer.addr());
    let options: sqlx::postgres::PgConnectOptions = plain.parse().unwrap();
    let mut behind = sqlx::ConnectOptions::connect(&options.extra_float_digits(None)).await.unwrap();
    let rows = sqlx::raw_sql("SELECT current_setting('lock_timeout')").fetch_one(&mut behind).await.unwrap();
    assert_eq!(sqlx::Row::get::<String, _>(&rows, 0), "0");
}
