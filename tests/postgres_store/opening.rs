//! Which databases are served, and which are refused with what words.

use scrip::keypool;
use scrip::ledger::Change;
use scrip::store::StoreError;
use scrip::store::postgres::{Safety, migrate};
use sqlx::Row;

use super::pool::{account, execute, lease, naming, rows, transact, write};
use super::support::postgres::{Cluster, connect, shared};
use super::*;

async fn refusal(url: &str, options: Options) -> String {
    match open(url, options).await {
        Ok(store) => panic!("{} was opened", store.describe()),
        Err(StoreError::Refused(words)) => words,
        Err(other) => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_fresh_database_is_migrated_once_and_then_left_alone() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    let words = refusal(&url, Options::default()).await;
    assert!(words.contains("scrip migrate"), "{words}");

    let report = migrate(&url, &Options::default()).await.unwrap();
    assert_eq!(
        (report.applied, report.version),
        (
            ["0001_ledger", "0002_keypool", "0003_reconciliation", "0004_runs", "0005_tokens", "0006_apps"]
                .map(str::to_owned)
                .to_vec(),
            6
        )
    );
    let report = migrate(&url, &Options::default()).await.unwrap();
    assert_eq!((report.applied.len(), report.version), (0, 6));

    let store = open(&url, Options::default()).await.unwrap();
    let described = store.describe();
    assert!(described.starts_with("PostgreSQL 1") && described.contains(" at 127.0.0.1:"), "{described}");
    assert!(!described.contains('@'), "{described}");
}

#[tokio::test]
async fn foreign_tables_are_refused_by_name_and_others_left_alone() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    execute(&url, "CREATE TABLE invoices (id int); CREATE TABLE tsunami (id int)").await;
    open(&url, migrating()).await.unwrap();
    open(&url, Options::default()).await.unwrap();

    let url = cluster.fresh_database().await;
    execute(&url, "CREATE TABLE ts_users (id int); CREATE TABLE ts_other (id int); CREATE TABLE x (id int)")
        .await;
    for options in [migrating(), Options::default()] {
        let words = refusal(&url, options).await;
        assert!(words.contains("ts_other, ts_users"), "{words}");
    }
    let mut connection = connect(&url).await;
    let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(tables, 3, "nothing was made there");

    let url = cluster.fresh_database().await;
    execute(&url, "CREATE TABLE scrip_schema (id int)").await;
    let words = refusal(&url, migrating()).await;
    assert!(words.contains("did not make: scrip_schema"), "{words}");
}

#[tokio::test]
async fn a_schema_that_needs_a_newer_release_is_refused_and_one_that_does_not_is_served() {
    let Some((url, _)) = fresh().await else { return };
    execute(&url, "INSERT INTO scrip_schema (version, oldest_binary) VALUES (104, '0.1.0')").await;
    open(&url, migrating()).await.unwrap();
    execute(&url, "INSERT INTO scrip_schema (version, oldest_binary) VALUES (105, '0.10.0')").await;
    for options in [migrating(), Options::default()] {
        let words = refusal(&url, options).await;
        assert!(words.contains("scrip 0.10.0") && words.contains("version 105"), "{words}");
    }
}

#[tokio::test]
async fn replicas_that_start_at_once_all_find_a_migrated_database() {
    let Some(cluster) = shared() else { return };
    let url = cluster.fresh_database().await;
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url, migrating()).await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
    let report = migrate(&url, &Options::default()).await.unwrap();
    assert!(report.applied.is_empty(), "{report:?}");
}

#[tokio::test]
async fn what_keeps_it_from_opening_is_said_so_that_one_can_act() {
    let Some(cluster) = shared() else { return };
    let words = refusal(&cluster.url("no_such_database"), migrating()).await;
    assert!(words.contains("no_such_database does not exist"), "{words}");

    let words = refusal(&cluster.url("postgres").replace("disable", "require"), migrating()).await;
    assert!(words.contains("TLS") && words.contains("sslmode"), "{words}");

    let words = refusal("postgres://u:hunter2@[nowhere/x", migrating()).await;
    assert!(words.contains("URL") && !words.contains("hunter2"), "{words}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/x?sslmode=disable", silent.local_addr().unwrap());
    let options = Options { connect_timeout: Duration::from_millis(200), ..migrating() };
    let error = open(&url, options).await.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_acknowledged_is_refused_unless_that_is_waived() {
    for (setting, remedy) in [
        ("fsync", "fsync = on in postgresql.conf"),
        ("full_page_writes", "full_page_writes = on in postgresql.conf"),
        ("synchronous_commit", "ALTER ROLE … SET synchronous_commit = on"),
    ] {
        let Some(cluster) = Cluster::start_with(&[(setting, "off")]) else { return };
        let url = cluster.fresh_database().await;
        let words = refusal(&url, migrating()).await;
        assert!(words.contains(&format!("has {setting} off")) && words.contains(remedy), "{words}");
        assert!(words.contains("--allow-unsafe-database"), "{words}");
        let mut connection = connect(&url).await;
        let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        let tables: i64 = sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(tables, 0, "a refusal leaves it as it was");
        open(&url, Options { safety: Safety::DurabilityWaived, ..migrating() }).await.unwrap();
        open(&url, Options { safety: Safety::NotAsked, ..Options::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_takes_no_writes_is_refused_and_a_command_that_looks_is_not() {
    let Some((url, _)) = fresh().await else { return };
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    let sql = format!("ALTER DATABASE \"{database}\" SET default_transaction_read_only = on");
    let sql = sqlx::AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(&mut connect(&url).await).await.unwrap();
    for safety in [Safety::Demanded, Safety::DurabilityWaived] {
        let words = refusal(&url, Options { safety, ..migrating() }).await;
        assert!(words.contains("default_transaction_read_only = off"), "{words}");
        assert!(!words.contains("--allow"), "it cannot be waived: {words}");
    }
    let looking = open(&url, Options { safety: Safety::NotAsked, ..Options::default() }).await.unwrap();
    looking.reader().now().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_not_make_tables_serves_what_another_has_migrated() {
    let Some((url, _)) = fresh().await else { return };
    let role = format!("scrip_app_{}", std::process::id());
    let mut connection = connect(&url).await;
    let sql = format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    let as_role = url.replace("postgres@", &format!("{role}@"));
    // It may look, and not serve: said in words that name some of what it lacks.
    let looking = Options { safety: Safety::NotAsked, ..Options::default() };
    let store = open(&as_role, looking).await.unwrap();
    store.reader().now().await.unwrap();
    let ended = run(&mut *store.writer(), &[credit(1, 100, Purse::Points, "r")]).await.ended;
    assert!(format!("{ended:?}").contains("--grant-to"), "{ended:?}");
    let words = refusal(&as_role, migrating()).await;
    assert!(words.contains("INSERT of ts_users, UPDATE of ts_users, INSERT of ts_fal_tasks and "), "{words}");
    assert!(words.contains(&format!("`scrip migrate --grant-to {role}`")), "{words}");
    // With what a migration grants it may, and with no more.
    let granting = Options { grant_to: Some(role.clone()), ..Options::default() };
    migrate(&url, &granting).await.unwrap();
    let store = open(&as_role, migrating()).await.unwrap();
    let mut writer = store.writer();
    run(&mut *writer, &[credit(1, 100, Purse::Points, "r")]).await.committed();
    run(&mut *writer, &[charge(1, "t", 1)]).await.committed();
    let footprint = keypool::Footprint { new_accounts: 1, ..naming(&["a"]) };
    let add = |snapshot: &keypool::Snapshot| rows(&[account(snapshot.fresh_ids[0], "a")], &[]);
    let (ended, _) = transact(&mut *writer, footprint, add).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    let plan = keypool::Plan {
        accounts: vec![(Change::Update, account(1, "a"))],
        balances: vec![(text("a"), Some(1))],
        leases: rows(&[], &[lease("l", 1, "t", 1)]).leases,
        ..keypool::Plan::default()
    };
    write(&mut *writer, plan).await;
    writer.prune_commits(store.reader().now().await.unwrap(), 1).await.unwrap();
    drop(writer);
    drop(store);
    let sql = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}
