//! What may be opened, what is refused, and in which words.

use std::sync::Arc;

use scrip::ledger::Purse;
use scrip::store::StoreError;
use scrip::store::sqlite::{Options, migrate, open};

use crate::support::{World, charge, credit, execute, number, refusal};

#[tokio::test]
async fn a_new_file_is_made_migrated_and_marked() {
    let world = World::new();
    let report = migrate(&world.url(), &world.options()).await.unwrap();
    assert_eq!(
        (report.applied, report.version),
        (
            ["0001_ledger", "0002_keypool", "0003_reconciliation", "0004_runs", "0005_tokens", "0006_apps"]
                .map(str::to_owned)
                .to_vec(),
            6
        )
    );
    let again = migrate(&world.url(), &world.options()).await.unwrap();
    assert_eq!((again.applied, again.version), (vec![], 6));

    let store = open(&world.url(), Options { migrate: false, ..world.options() }).await.unwrap();
    assert_eq!(store.describe(), format!("SQLite {}", world.path().display()));
    let mut raw = world.raw().await;
    assert_eq!(number(&mut raw, "PRAGMA application_id").await, 0x7363_7270);
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut raw).await.unwrap();
    assert_eq!(journal, "wal");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_the_file_and_its_companions() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let store = world.open().await;
    world.commit(&mut store.writer(), &[credit(1, Purse::Points, 1, "c")]).await;
    for name in ["scrip.db", "scrip.db-wal", "scrip.db-shm"] {
        let mode = std::fs::metadata(world.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_refused() {
    let world = World::new();
    let inside = |name: &str| format!("sqlite://{}/{name}", world.folder.path().display());
    let why = |url: String, options: Options| async move { refusal(open(&url, options).await.map(|_| ())) };
    assert!(why(inside("no/scrip.db"), world.options()).await.contains("does not exist: create it"));
    assert!(why(inside("."), world.options()).await.contains("is not a file"));
    assert!(why(inside("a.db?mode=ro"), world.options()).await.contains("takes no parameters"));
    let not_yet = Options { migrate: false, ..world.options() };
    assert!(why(inside("new.db"), not_yet).await.contains("`scrip migrate` creates it"));
    assert!(!world.folder.path().join("new.db").exists(), "a refusal leaves nothing");
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_was() {
    let world = World::new();
    let text = "id,name\n1,one\n".repeat(1_000);
    std::fs::write(world.path(), &text).unwrap();
    assert!(world.refusal().await.contains("is not a SQLite database: name another file"));
    assert_eq!(std::fs::read_to_string(world.path()).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_header_is_refused() {
    let world = World::new();
    migrate(&world.url(), &world.options()).await.unwrap();
    let mut bytes = std::fs::read(world.path()).unwrap();
    bytes[..16].fill(0x5a);
    std::fs::write(world.path(), bytes).unwrap();
    assert!(world.refusal().await.contains("restore this one from a backup"));
}

#[tokio::test]
async fn damaged_pages_are_found_at_start() {
    let world = World::new();
    {
        let store = world.open().await;
        let mut writer = store.writer();
        let mut works = vec![credit(1, Purse::Points, 1_000_000, "c1")];
        works.extend((0..500).map(|number| charge(1, &format!("task-{number}"), 1)));
        world.commit(&mut writer, &works).await;
    }
    let mut raw = world.raw().await;
    // The last connection to go moves the log into the file.
    execute(&mut raw, "PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    drop(raw);
    let mut bytes = std::fs::read(world.path()).unwrap();
    let pages = bytes.len() / 4_096;
    assert!(pages > 40);
    for page in 30..pages {
        bytes[page * 4_096..page * 4_096 + 64].fill(0xff);
    }
    std::fs::write(world.path(), bytes).unwrap();
    match open(&world.url(), world.options()).await.map(|_| ()) {
        Err(error @ StoreError::Damaged { .. }) => {
            assert!(error.to_string().contains("restore a backup"), "{error}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn foreign_tables_are_refused_by_name_and_left_alone() {
    let world = World::new();
    let mut raw = world.raw().await;
    execute(&mut raw, "CREATE TABLE ts_users (id INTEGER)").await.unwrap();
    execute(&mut raw, "CREATE TABLE ts_fal_tasks (id INTEGER)").await.unwrap();
    let why = world.refusal().await;
    assert!(why.contains("already holds tables that scrip did not create (ts_fal_tasks, ts_users)"), "{why}");
    assert_eq!(number(&mut raw, "SELECT count(*) FROM sqlite_schema").await, 2);
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut raw).await.unwrap();
    assert_eq!(journal, "delete");
}

#[tokio::test]
async fn views_and_a_schema_table_of_another_program_are_refused_in_words() {
    let world = World::new();
    let mut raw = world.raw().await;
    execute(&mut raw, "CREATE VIEW ts_users AS SELECT 1").await.unwrap();
    assert!(world.refusal().await.contains("scrip did not create (ts_users)"));

    let world = World::new();
    let mut raw = world.raw().await;
    execute(&mut raw, "CREATE TABLE scrip_schema (id INTEGER)").await.unwrap();
    assert!(world.refusal().await.contains("a table scrip_schema that scrip did not create"));
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let world = World::new();
    let mut raw = world.raw().await;
    execute(&mut raw, "CREATE TABLE songs (id INTEGER)").await.unwrap();
    assert!(world.refusal().await.contains("is not scrip's, it holds songs"));
    execute(&mut raw, "DROP TABLE songs").await.unwrap();
    execute(&mut raw, "PRAGMA application_id = 7").await.unwrap();
    assert!(world.refusal().await.contains("is the database of another program"));
}

#[tokio::test]
async fn a_dump_that_was_read_back_is_ours_again() {
    let world = World::new();
    migrate(&world.url(), &world.options()).await.unwrap();
    let mut raw = world.raw().await;
    execute(&mut raw, "PRAGMA application_id = 0").await.unwrap();
    world.open().await;
    assert_eq!(number(&mut raw, "PRAGMA application_id").await, 0x7363_7270);
}

#[tokio::test]
async fn a_schema_beyond_this_binary_is_refused_and_one_it_can_live_with_is_not() {
    let world = World::new();
    migrate(&world.url(), &world.options()).await.unwrap();
    let mut raw = world.raw().await;
    execute(&mut raw, "INSERT INTO scrip_schema (version, oldest_binary) VALUES (104, '0.1.0')")
        .await
        .unwrap();
    let report = migrate(&world.url(), &world.options()).await.unwrap();
    assert_eq!((report.applied, report.version), (vec![], 104));
    for oldest in ["0.1.10", "12.0.0", "next"] {
        execute(&mut raw, &format!("UPDATE scrip_schema SET oldest_binary = '{oldest}' WHERE version = 104"))
            .await
            .unwrap();
        let why = world.refusal().await;
        assert!(why.contains("migrated by a newer scrip (migration 104)"), "{why}");
        assert!(why.contains(&format!("needs scrip {oldest} or later")), "{why}");
    }
}

#[tokio::test]
async fn a_read_only_file_is_refused() {
    let world = World::new();
    migrate(&world.url(), &world.options()).await.unwrap();
    let mut rights = std::fs::metadata(world.path()).unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(world.path(), rights).unwrap();
    let why = world.refusal().await;
    assert!(why.contains("is read-only: make the file and its folder writable"), "{why}");
}

#[tokio::test]
async fn a_file_left_in_doubt_is_checked_before_it_is_served() {
    let world = World::new();
    migrate(&world.url(), &world.options()).await.unwrap();
    let mark = world.folder.path().join("scrip.db-suspect");
    std::fs::write(&mark, "").unwrap();
    world.open().await;
    assert!(!mark.exists(), "checked and found sound");
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_open_a_new_file_at_once_all_serve_it() {
    let world = Arc::new(World::new());
    let opened: Vec<_> = (0..4)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.open().await })
        })
        .collect();
    for (user, store) in (1..).zip(opened) {
        let store = store.await.unwrap();
        world.commit(&mut store.writer(), &[credit(user, Purse::Points, 5, "c")]).await;
    }
    assert_eq!(number(&mut world.raw().await, "SELECT sum(points_balance) FROM ts_users").await, 20);
}
