//! Tokens as the stores keep them, on both.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use scrip::clock::System;
use scrip::ledger::Micros;
use scrip::store::tokens::{CreatedToken, MAX_LIVE, NewToken, TokenStore, WhichTokens};
use scrip::store::{Store, postgres, sqlite};
use sqlx::{Connection, PgConnection, SqliteConnection};

struct Bench {
    url: String,
    store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    async fn sqlite() -> Option<Bench> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
        let store = sqlite::open(&url, sqlite::Options::new(System::clock())).await.unwrap();
        Some(Bench { url, store, _folder: Some(folder) })
    }

    async fn postgres() -> Option<Bench> {
        let url = support::postgres::shared()?.fresh_database().await;
        let options = postgres::Options { migrate: true, ..postgres::Options::default() };
        let store = postgres::open(&url, options).await.unwrap();
        Some(Bench { url, store, _folder: None })
    }

    fn tokens(&self) -> Arc<dyn TokenStore> {
        self.store.tokens().unwrap()
    }

    async fn execute(&self, on_sqlite: &'static str, on_postgres: &'static str) {
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(on_sqlite).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(on_postgres).execute(&mut connection).await.unwrap();
        }
    }
}

fn new(name: &str, digest: u8) -> NewToken {
    NewToken {
        name: name.into(),
        digest: [digest; 32],
        roles: "biller,runner".into(),
        users: None,
        expire_time: None,
        actor: "tests".into(),
    }
}

macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Bench::sqlite().await.unwrap()).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(bench) = super::Bench::postgres().await else { return };
                super::$name(bench).await;
            })+
        }
    };
}

on_both_stores!(
    a_token_is_read_back_as_it_was_kept_and_known_until_it_is_over,
    a_name_has_two_places_and_an_expired_token_gives_its_own_back,
    commands_that_race_for_a_names_places_get_two,
    no_more_are_kept_than_servers_keep_in_memory,
);

async fn a_token_is_read_back_as_it_was_kept_and_known_until_it_is_over(bench: Bench) {
    let tokens = bench.tokens();
    let none = tokens.known().await.unwrap();
    assert!(none.live.is_empty() && !none.any);
    let now = bench.store.reader().now().await.unwrap();
    let end = Micros(now.0 + 3_600_000_000);
    let bound = NewToken { users: Some((7, i64::MAX)), expire_time: Some(end), ..new("shop", 1) };
    let CreatedToken::Kept(kept) = tokens.create(&bound).await.unwrap() else { panic!("it is kept") };
    assert_eq!((&*kept.name, &*kept.roles, kept.users), ("shop", "biller,runner", Some((7, i64::MAX))));
    assert_eq!((kept.expire_time, kept.revoke_time), (Some(end), None));
    let known = tokens.known().await.unwrap();
    assert_eq!((known.live, known.any), (vec![([1; 32], kept.clone())], true));
    assert_eq!(tokens.list(0, 10).await.unwrap(), std::slice::from_ref(&kept));
    assert!(tokens.list(kept.id, 10).await.unwrap().is_empty());

    let revoked = tokens.revoke(&WhichTokens::Id(kept.id), "me", "gone").await.unwrap();
    assert!(revoked[0].revoke_time.is_some());
    assert!(tokens.revoke(&WhichTokens::Id(kept.id), "me", "gone").await.unwrap().is_empty());
    let known = tokens.known().await.unwrap();
    assert!(known.live.is_empty() && known.any, "that there was one is never forgotten");
    let log =
        bench.store.reader().audit_log(None, scrip::store::Page { before: None, limit: 10 }).await.unwrap();
    let lines: Vec<_> = log.iter().map(|line| (&*line.actor, &*line.subject_kind, &*line.reason)).collect();
    assert_eq!(lines, [("me", "token", "gone"), ("tests", "token", "created")]);
}

async fn a_name_has_two_places_and_an_expired_token_gives_its_own_back(bench: Bench) {
    let tokens = bench.tokens();
    let over = NewToken { expire_time: Some(Micros(1_000_000)), ..new("shop", 1) };
    assert!(matches!(tokens.create(&over).await.unwrap(), CreatedToken::Kept(_)));
    assert!(tokens.known().await.unwrap().live.is_empty(), "it was over before it began");
    for digest in [2, 3] {
        assert!(matches!(tokens.create(&new("shop", digest)).await.unwrap(), CreatedToken::Kept(_)));
    }
    assert_eq!(tokens.create(&new("shop", 4)).await.unwrap(), CreatedToken::NameHasTwo);
    assert!(matches!(tokens.create(&new("other", 5)).await.unwrap(), CreatedToken::Kept(_)));
    assert_eq!(tokens.revoke(&WhichTokens::Name("shop".into()), "me", "all").await.unwrap().len(), 2);
    let live: Vec<_> = tokens.known().await.unwrap().live.into_iter().map(|(digest, _)| digest[0]).collect();
    assert_eq!(live, [5]);
}

async fn commands_that_race_for_a_names_places_get_two(bench: Bench) {
    let racing = (1..=6).map(|digest| {
        let tokens = bench.tokens();
        tokio::spawn(async move { tokens.create(&new("shop", digest)).await })
    });
    let mut kept = 0;
    for ended in futures::future::join_all(racing).await {
        match ended.unwrap() {
            Ok(CreatedToken::Kept(_)) => kept += 1,
            Ok(CreatedToken::NameHasTwo) | Err(scrip::store::StoreError::Conflict { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let live = bench.tokens().known().await.unwrap().live.len();
    assert!(kept == live && (1..=2).contains(&kept), "{kept} {live}");
}

async fn no_more_are_kept_than_servers_keep_in_memory(bench: Bench) {
    assert_eq!(MAX_LIVE, 1_000);
    bench
        .execute(
            // The bound is in both texts.
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
             INSERT INTO scrip_tokens (name, slot, digest, roles, created_at)
             SELECT 'n' || i, 1, randomblob(32), 'biller', '2026-01-01 00:00:00.000000' FROM n",
            "INSERT INTO scrip_tokens (name, slot, digest, roles, created_at)
             SELECT 'n' || i, 1, sha256(i::text::bytea), 'biller', now() FROM generate_series(1, 1000) AS i",
        )
        .await;
    let tokens = bench.tokens();
    assert_eq!(tokens.known().await.unwrap().live.len(), 1_000);
    assert_eq!(tokens.create(&new("shop", 1)).await.unwrap(), CreatedToken::Full);
    tokens.revoke(&WhichTokens::Name("n1".into()), "me", "room").await.unwrap();
    assert!(matches!(tokens.create(&new("shop", 1)).await.unwrap(), CreatedToken::Kept(_)));
}
