//! The key pool's tables as SQLite holds them: what the migration keeps, what nobody may change.

use scrip::keypool::{AccountStatus, AllowList};
use scrip::store::Page;
use scrip::store::sqlite::{migrate, open};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Row, SqlSafeStr};

use crate::support::{World, charge, credit, execute, number};
use scrip::ledger::Purse;

const FIRST: &str = include_str!("../../migrations/sqlite/0001_ledger.sql");

/// A file as the first release left it.
async fn of_the_first_schema(world: &World) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path()).create_if_missing(true);
    let mut raw = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let first = Migration::new(1, "ledger".into(), MigrationType::Simple, FIRST.into_sql_str(), false);
    let mut migrator = Migrator::with_migrations(vec![first]);
    migrator.set_locking(false).dangerous_set_table_name("scrip_migrations");
    migrator.run_direct(None, &mut raw, false).await.unwrap();
    raw
}

#[tokio::test]
async fn accounts_that_were_there_before_the_pool_are_kept() {
    let world = World::new();
    let mut raw = of_the_first_schema(&world).await;
    execute(
        &mut raw,
        "INSERT INTO ts_fal_account (id, name, api_key, use_cnt, error_cnt, status, remark, balance_nano_usd)
         VALUES (3, 'one', 'k-1', 7, 2, 1, 'a note', 1500000000), (9, 'two', 'k-2', 0, 0, 0, '', NULL),
                (12, 'three', 'k-3', 1, 0, 5, '', -1)",
    )
    .await
    .unwrap();
    drop(raw);
    let report = migrate(&world.url(), &world.options()).await.unwrap();
    assert_eq!(
        (report.applied, report.version),
        (
            ["0002_keypool", "0003_reconciliation", "0004_runs", "0005_tokens", "0006_apps"]
                .map(str::to_owned)
                .to_vec(),
            6
        )
    );

    let store = open(&world.url(), world.options()).await.unwrap();
    let found = store.reader().list_accounts(Page { before: None, limit: 10 }).await.unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|record| {
            let account = &record.account;
            assert_eq!(account.workspace, account.key_id, "each in a workspace of its own");
            assert_eq!((&account.allowed_apps, account.weight), (&AllowList::default(), 100));
            (account.account_id, &*account.name, account.status, record.workspace.balance_nano_usd)
        })
        .collect();
    assert_eq!(
        told,
        [
            (12, "three", AccountStatus::Disabled, Some(-1)),
            (9, "two", AccountStatus::Disabled, None),
            (3, "one", AccountStatus::Enabled, Some(1_500_000_000)),
        ]
    );
    assert_eq!(
        (found[2].account.use_cnt, found[2].account.error_cnt, &*found[2].account.remark),
        (7, 2, "a note")
    );
    let mut raw = world.raw().await;
    assert_eq!(number(&mut raw, "SELECT count(*) FROM scrip_account_keys WHERE purpose = 'lease'").await, 3);
    assert_eq!(number(&mut raw, "SELECT count(*) FROM ts_fal_account WHERE balance = 1.5").await, 1);
    assert_eq!(number(&mut raw, "SELECT sum(status) FROM ts_fal_account").await, 1, "only those in rotation");
}

#[tokio::test]
async fn the_audit_log_is_append_only_and_the_tables_refuse_what_can_never_be() {
    let world = World::new();
    world.open().await;
    let mut raw = world.raw().await;
    for sql in [
        "INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
         VALUES ('2026-02-01 09:30:00.000000', 'op', 'account', '1', 1, 'why', '{}')",
        "INSERT INTO scrip_workspaces (workspace) VALUES ('ws')",
        "INSERT INTO ts_fal_account (name, api_key, workspace) VALUES ('one', 'k-1', 'ws')",
        "INSERT INTO scrip_account_keys (account_id, purpose, key_id, kek_id, sealed, created_at)
         VALUES (1, 'lease', 'k-1', 'kek', x'00', '2026-02-01 09:30:00.000000')",
    ] {
        execute(&mut raw, sql).await.unwrap();
    }
    for sql in ["UPDATE scrip_audit_log SET actor = 'me'", "DELETE FROM scrip_audit_log"] {
        let error = execute(&mut raw, sql).await.unwrap_err().to_string();
        assert!(error.contains("scrip_audit_log is append-only"), "{sql}: {error}");
    }
    for sql in [
        "UPDATE ts_fal_account SET status = 0",
        "UPDATE ts_fal_account SET state = 'lost', status = 0",
        "UPDATE ts_fal_account SET weight = 0",
        "UPDATE ts_fal_account SET balance = 1",
        "UPDATE ts_fal_account SET key_out_cause = 'auth_failed'",
        "UPDATE ts_fal_account SET updated_at = '2026-02-01T09:30:00Z'",
        "UPDATE scrip_workspaces SET out_cause = 'rate_limited'",
        "UPDATE scrip_workspaces SET last_failure = 'rate_limited'",
        "UPDATE scrip_workspaces SET error_permille = 1001",
        "UPDATE scrip_account_keys SET sealed = NULL",
        "UPDATE scrip_account_keys SET purpose = 'other'",
        "INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at)
         VALUES (2, 'lease', 'k-1', '2026-02-01 09:30:00.000000')",
        "INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
         VALUES ('2026-02-01 09:30:00.000000', 'op', 'user', '1', 1, 'why', '{}')",
    ] {
        assert!(execute(&mut raw, sql).await.is_err(), "{sql}");
    }
    let billing = "INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at)
         VALUES (2, 'billing', 'k-1', '2026-02-01 09:30:00.000000')";
    execute(&mut raw, billing).await.unwrap();
}

#[tokio::test]
async fn an_attempt_keeps_its_lease() {
    let world = World::new();
    let store = world.open().await;
    let mut writer = store.writer();
    world.commit(&mut writer, &[credit(1, Purse::Points, 1_000, "c1"), charge(1, "t", 100)]).await;
    let mut decided = |snapshot: scrip::store::Snapshot| {
        let attempt = |number: i32, lease_id: Option<&str>| scrip::ledger::Attempt {
            user_id: 1,
            task_id: "t".into(),
            attempt: number,
            online_task_id: format!("job-{number}").into(),
            key_id: "k".into(),
            lease_id: lease_id.map(Into::into),
            start_time: snapshot.ledger.now,
        };
        let attempts = vec![attempt(1, Some("l-1")), attempt(2, None)];
        scrip::ledger::Plan { attempts, ..Default::default() }.into()
    };
    let footprint = scrip::store::Footprint::default();
    let ended = writer.transact(world.batch_id(), scrip::store::Run::First, &footprint, &mut decided).await;
    assert!(matches!(ended, scrip::store::Transacted::Committed), "{ended:?}");
    let rows = sqlx::query("SELECT lease_id FROM scrip_task_attempts ORDER BY attempt")
        .fetch_all(&mut world.raw().await)
        .await
        .unwrap();
    let leases: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(leases, [Some("l-1".to_owned()), None]);
}

#[tokio::test]
async fn models_that_could_not_be_read_are_refused_from_whoever_writes_them() {
    let world = World::new();
    let store = world.open().await;
    let mut raw = world.raw().await;
    let insert = "INSERT INTO scrip_workspaces (workspace) VALUES ('w');
        INSERT INTO ts_fal_account (name, api_key, workspace, created_at, updated_at, allowed_apps)
        VALUES ('one', 'k-1', 'w', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000', ";
    for unreadable in [
        "",
        "fal-ai/flux",
        "[not json",
        "{\"a\":1}",
        "\"fal-ai/flux\"",
        "[1]",
        "[\"a\",[\"b\"]]",
        "null",
        "[\"\\ud800\"]",
    ] {
        let inserted = execute(&mut raw, &format!("{insert}'{unreadable}')")).await;
        assert!(inserted.is_err(), "{unreadable}");
    }
    execute(&mut raw, &format!("{insert}'[]')").replacen("INSERT INTO", "INSERT OR IGNORE INTO", 1))
        .await
        .unwrap();
    for unreadable in ["fal-ai/flux", "[1]"] {
        let updated =
            execute(&mut raw, &format!("UPDATE ts_fal_account SET allowed_apps = '{unreadable}'")).await;
        assert!(updated.unwrap_err().to_string().contains("JSON array of texts"), "{unreadable}");
    }
    execute(&mut raw, "UPDATE ts_fal_account SET allowed_apps = '[\"fal-ai/flux\", \"备用\"]'")
        .await
        .unwrap();
    let found = store.reader().list_accounts(Page { before: None, limit: 10 }).await.unwrap();
    assert_eq!(found[0].account.allowed_apps.apps().len(), 2);
}
