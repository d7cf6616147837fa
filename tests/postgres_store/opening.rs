//! Which databases are served, and which are refused with what words.

use scrip::keypool;
use scrip::ledger::Change;
use scrip::store::StoreError;
use scrip::store::postgres::migrate;
use sqlx::Row;

use super::pool::{account, execute, lease, naming, rows, transact, write};
use super::support::postgres::{connect, shared};
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
        (["0001_ledger", "0002_keypool", "0003_reconciliation", "0004_runs"].map(str::to_owned).to_vec(), 4)
    );
    let report = migrate(&url, &Options::default()).await.unwrap();
    assert_eq!((report.applied.len(), report.version), (0, 4));

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
    let store = open(&as_role, migrating()).await.unwrap();
    store.reader().now().await.unwrap();
    // It may not write: said in words that name the missing rights.
    let ended = run(&mut *store.writer(), &[credit(1, 100, Purse::Points, "r")]).await.ended;
    assert!(format!("{ended:?}").contains("grant it"), "{ended:?}");
    // With these rights it may, and with no more.
    let sql = format!(
        "GRANT INSERT ON ALL TABLES IN SCHEMA public TO {role};
         GRANT UPDATE ON ts_users, ts_fal_tasks, ts_fal_account, scrip_workspaces, scrip_account_keys, scrip_leases
             TO {role};
         GRANT DELETE ON scrip_commits TO {role}; GRANT USAGE ON SEQUENCE ts_fal_account_id_seq TO {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
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
