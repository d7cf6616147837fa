//! deploy/postgres/roles.sql: the service does all that it does as a role that owns nothing, and which can take back no
//! entry, no outcome and no line of the audit log.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "support/everything.rs"]
mod everything;
mod support;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::client::verify;
use support::postgres::{self, Cluster};
use support::server::Launch;
use tokio::process::Command;

const ROLES: &str = include_str!("../deploy/postgres/roles.sql");
const APPEND_ONLY: [&str; 5] = [
    "ts_financial_transactions",
    "ts_points_detail",
    "scrip_requests",
    "scrip_task_attempts",
    "scrip_audit_log",
];

/// A cluster whose database was set up as roles.sql says, word for word.
async fn set_up() -> Option<(Cluster, String, String)> {
    let cluster = Cluster::start()?;
    cluster.create_database("scrip").await;
    let mut administrator = postgres::connect(&cluster.url("scrip")).await;
    sqlx::raw_sql(ROLES).execute(&mut administrator).await.unwrap();
    let [owner, service] = ["scrip_owner", "scrip_service"]
        .map(|role| cluster.url("scrip").replace("postgres@", &format!("{role}@")));
    administrator.close().await.unwrap();
    let (ok, said) = migrate(&owner, Some("scrip_service")).await;
    assert!(ok && said.contains("granted scrip_service what serving takes"), "{said}");
    Some((cluster, owner, service))
}

async fn migrate(url: &str, grant_to: Option<&str>) -> (bool, String) {
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_scrip"));
    migrate.args(["migrate", "--database-url", url]);
    if let Some(role) = grant_to {
        migrate.args(["--grant-to", role]);
    }
    let done = migrate.output().await.unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (done.status.success(), said.concat())
}

async fn code(connection: &mut PgConnection, sql: &str) -> Option<String> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    Some(done.err()?.as_database_error()?.code()?.into_owned())
}

#[tokio::test]
async fn the_service_can_take_back_nothing_that_it_wrote_and_reads_every_table() {
    let Some((_cluster, _owner, service)) = set_up().await else { return };
    let mut connection = postgres::connect(&service).await;
    const DENIED: Option<&str> = Some("42501");
    for table in APPEND_ONLY {
        let column: String = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1 AND ordinal_position = 2",
        )
        .bind(table)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        for sql in [
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            assert_eq!(code(&mut connection, &sql).await.as_deref(), DENIED, "{sql}");
        }
    }
    for sql in
        ["DROP TABLE ts_users", "CREATE TABLE mine ()", "INSERT INTO scrip_schema VALUES (99, '9.9.9')"]
    {
        assert!(matches!(code(&mut connection, sql).await.as_deref(), Some("42501")), "{sql}");
    }
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    for table in tables {
        assert_eq!(code(&mut connection, &format!("SELECT FROM {table} LIMIT 1")).await, None, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_all_that_it_does_with_no_more_than_its_grants() {
    let Some((_cluster, _owner, service)) = set_up().await else { return };
    let launch = Launch::new(&service).arg("--no-migrate");
    let scrip = everything::done(launch, &service).await;
    assert_eq!(verify(&service).await.0, Some(0));
    let denied = scrip.server.logs();
    assert!(!denied.contains("permission denied") && !denied.contains("42501"), "{denied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_too_little_is_refused_before_it_serves_with_what_to_do() {
    let Some((cluster, owner, service)) = set_up().await else { return };
    let mut administrator = postgres::connect(&cluster.url("scrip")).await;
    for (taken, named) in [
        ("UPDATE ON ts_users", "UPDATE of ts_users"),
        ("UPDATE ON scrip_billing_events", "UPDATE of scrip_billing_events"),
        ("DELETE ON scrip_commits", "DELETE of scrip_commits"),
        ("USAGE ON SEQUENCE ts_fal_account_id_seq", "USAGE of ts_fal_account_id_seq"),
    ] {
        let revoke = AssertSqlSafe(format!("REVOKE {taken} FROM scrip_service"));
        sqlx::raw_sql(revoke).execute(&mut administrator).await.unwrap();
        let refused = Launch::new(&service).arg("--no-migrate").try_start().await;
        let Err(refused) = refused else { panic!("it serves without {named}") };
        let words = refused.logs;
        assert!(
            words.contains(named) && words.contains("`scrip migrate --grant-to scrip_service`"),
            "{words}"
        );
        assert!(migrate(&owner, Some("scrip_service")).await.0, "again");
        Launch::new(&service).arg("--no-migrate").start().await;
    }
    // A right to some columns is none to the table.
    let some = "REVOKE SELECT ON ts_users FROM scrip_service; GRANT SELECT (id) ON ts_users TO scrip_service";
    sqlx::raw_sql(some).execute(&mut administrator).await.unwrap();
    let refused = Launch::new(&service).arg("--no-migrate").try_start().await;
    let Err(refused) = refused else { panic!("it serves what it cannot read") };
    assert!(refused.logs.contains("SELECT of ts_users"), "{}", refused.logs);

    // What it had beside its rights is taken back.
    let more = "GRANT ALL ON ts_points_detail, scrip_migrations TO scrip_service";
    sqlx::raw_sql(more).execute(&mut administrator).await.unwrap();
    assert!(migrate(&owner, Some("scrip_service")).await.0);
    let kept: bool = sqlx::query_scalar(
        "SELECT has_table_privilege('scrip_service', 'ts_points_detail', 'DELETE, UPDATE, TRUNCATE') \
         OR has_table_privilege('scrip_service', 'scrip_migrations', 'INSERT')",
    )
    .fetch_one(&mut administrator)
    .await
    .unwrap();
    assert!(!kept);

    for everybody in ["public", "none", ""] {
        let (ok, said) = migrate(&owner, Some(everybody)).await;
        assert!(!ok && said.contains("no role of its own"), "{everybody}: {said}");
    }
    sqlx::raw_sql("CREATE ROLE outside LOGIN").execute(&mut administrator).await.unwrap();
    let (ok, said) = migrate(&owner, Some("outside")).await;
    assert!(!ok && said.contains("GRANT USAGE ON SCHEMA public TO \"outside\""), "{said}");
    let (ok, said) = migrate(&owner, Some("nobody")).await;
    assert!(!ok && said.contains("no role \"nobody\"") && said.contains("roles.sql"), "{said}");
    sqlx::raw_sql("REVOKE UPDATE ON ts_users FROM scrip_service").execute(&mut administrator).await.unwrap();
    let (ok, said) = migrate(&service, Some("scrip_service")).await;
    assert!(!ok && said.contains("does not own the tables"), "{said}");
}

#[tokio::test]
async fn every_table_has_its_rights_and_those_who_serve_add_to_no_list_of_migrations() {
    let Some((cluster, _owner, _service)) = set_up().await else { return };
    let mut administrator = postgres::connect(&cluster.url("scrip")).await;
    let without: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND \
         (NOT has_table_privilege('scrip_service', oid, 'SELECT') OR has_table_privilege('scrip_service', oid, 'INSERT') \
         = (relname IN ('scrip_schema', 'scrip_migrations')))",
    )
    .fetch_all(&mut administrator)
    .await
    .unwrap();
    assert_eq!(without, Vec::<String>::new());
}
