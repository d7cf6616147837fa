//! Tokens, from the first one to its end, as callers and operators meet them.

use scrip::pb;
use sqlx::{Connection, Row};
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, charge, credit, refused};
use crate::support::eventually;
use crate::support::tokens::{self, Bearing};

on_both_stores!(
    the_first_minute_needs_no_token_and_the_first_token_ends_it,
    two_tokens_of_a_name_are_valid_at_once_and_a_third_is_refused,
    a_revoked_or_expired_token_is_refused_within_seconds,
    what_a_caller_did_is_under_its_name,
    the_audit_log_tells_who_made_and_revoked_a_token,
    commands_that_call_a_server_carry_a_token,
);

fn get(user_id: i64) -> pb::GetBalanceRequest {
    pb::GetBalanceRequest { user_id, as_of_time: None }
}

/// What it prints follows its first line, by which it is known to listen.
async fn says(scrip: &Scrip, words: &str) {
    eventually(words, || async { scrip.server.logs().contains(words) }).await;
}

async fn bearing(scrip: &Scrip, token: &str) -> Bearing {
    Bearing::new(scrip.server.channel().await, token)
}

/// All rows of a query's one column of text.
async fn texts(scrip: &Scrip, sql: &'static str) -> Vec<String> {
    if let Some(path) = scrip.database_url.strip_prefix("sqlite://") {
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{path}")).await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        return rows.iter().map(|row| row.get(0)).collect();
    }
    let mut connection = crate::support::postgres::connect(&scrip.database_url).await;
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn the_first_minute_needs_no_token_and_the_first_token_ends_it(mut scrip: Scrip) {
    says(&scrip, "authentication: off until the first token").await;
    scrip.with_points(7, 100).await;
    let mut nobodys = bearing(&scrip, "scrip_nobodys").await;
    refused(nobodys.billing.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");

    let token = tokens::create(&scrip.database_url, "checkout --role biller").await;
    // At once, as a script would.
    let mut checkout = bearing(&scrip, &token).await;
    checkout.billing.get_balance(get(7)).await.unwrap();
    let metadata = refused(scrip.billing.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!(metadata["method"], "/scrip.v1.BillingService/GetBalance");
    refused(nobodys.billing.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let health = tonic_health::pb::HealthCheckRequest::default();
    tonic_health::pb::health_client::HealthClient::new(scrip.server.channel().await)
        .check(health)
        .await
        .expect("health is told to everybody");

    // A server that starts now asks from the first call on.
    let mut again =
        Scrip::on(crate::support::server::Launch::new(&scrip.database_url), scrip.database_url.clone(), None)
            .await;
    says(&again, "authentication: on").await;
    refused(again.billing.charge(charge(7, "job", 1)).await, Code::Unauthenticated, "UNAUTHENTICATED");
}

async fn two_tokens_of_a_name_are_valid_at_once_and_a_third_is_refused(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let url = scrip.database_url.clone();
    let old = tokens::create(&url, "checkout --role biller").await;
    let new = tokens::create(&url, "checkout --role biller").await;
    let (mut old, mut new) = (bearing(&scrip, &old).await, bearing(&scrip, &new).await);
    old.billing.get_balance(get(7)).await.unwrap();
    new.billing.get_balance(get(7)).await.unwrap();
    let third = tokens::scrip(&url, "tokens create checkout --role biller").await;
    assert_eq!(third.status.code(), Some(1), "{third:?}");
    assert!(String::from_utf8_lossy(&third.stderr).contains("two tokens already"), "{third:?}");

    let revoked = tokens::scrip(&url, "tokens revoke 1 --reason rotated").await;
    assert!(revoked.status.success(), "{revoked:?}");
    eventually("the old one is refused", || {
        let mut old = old.clone();
        async move { old.billing.get_balance(get(7)).await.is_err() }
    })
    .await;
    new.billing.get_balance(get(7)).await.unwrap();
    tokens::create(&url, "checkout --role biller").await;
    let again = tokens::scrip(&url, "tokens revoke 1").await;
    assert!(
        again.status.success() && String::from_utf8_lossy(&again.stdout).contains("over already"),
        "{again:?}"
    );
    assert_eq!(tokens::scrip(&url, "tokens revoke 99").await.status.code(), Some(1));
}

async fn a_revoked_or_expired_token_is_refused_within_seconds(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let url = scrip.database_url.clone();
    let kept = tokens::create(&url, "kept --role biller --expires-in 1h").await;
    let short = tokens::create(&url, "short --role biller --expires-in 2s").await;
    let first = tokens::create(&url, "leaked --role biller").await;
    let second = tokens::create(&url, "leaked --role biller").await;
    let mut kept = bearing(&scrip, &kept).await;
    kept.billing.get_balance(get(7)).await.unwrap();
    assert!(tokens::scrip(&url, "tokens revoke --name leaked").await.status.success());
    for token in [short, first, second] {
        let bearing = bearing(&scrip, &token).await;
        eventually("it is refused", || {
            let mut billing = bearing.billing.clone();
            async move {
                match billing.get_balance(get(7)).await {
                    Ok(_) => false,
                    refusal => {
                        refused(refusal, Code::Unauthenticated, "UNAUTHENTICATED");
                        true
                    }
                }
            }
        })
        .await;
    }
    kept.billing.get_balance(get(7)).await.unwrap();
    let listed =
        String::from_utf8(tokens::scrip(&url, "tokens list --all --format json").await.stdout).unwrap();
    let states: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| {
        states
            .iter()
            .filter(|row| row["name"] == name)
            .map(|row| row["state"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!((of("kept"), of("short"), of("leaked")), (vec!["valid"], vec!["expired"], vec!["revoked"; 2]));
    let valid = String::from_utf8(tokens::scrip(&url, "tokens list").await.stdout).unwrap();
    assert!(valid.contains("kept") && !valid.contains("leaked") && !valid.contains("short"), "{valid}");

    // All gone, and still nobody is let in without one.
    assert!(tokens::scrip(&url, "tokens revoke --name kept").await.status.success());
    eventually("the last one is refused", || {
        let mut kept = kept.clone();
        async move { kept.billing.get_balance(get(7)).await.is_err() }
    })
    .await;
    refused(scrip.billing.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");
}

async fn what_a_caller_did_is_under_its_name(scrip: Scrip) {
    let url = scrip.database_url.clone();
    let mut shop = bearing(&scrip, &tokens::create(&url, "shop --role cashier --role biller").await).await;
    let mut ops = bearing(&scrip, &tokens::create(&url, "ops --role admin").await).await;
    shop.billing.credit(credit(7, 100, pb::Purse::Points, "open")).await.unwrap();
    ops.billing.charge(charge(7, "job", 30)).await.unwrap();
    let account =
        pb::CreateAccountRequest { name: "one".into(), api_key: "k:s".into(), ..Default::default() };
    ops.keys.create_account(account).await.unwrap();
    assert_eq!(
        texts(&scrip, "SELECT actor FROM ts_financial_transactions ORDER BY user_seq").await,
        ["shop", "ops"]
    );
    assert_eq!(texts(&scrip, "SELECT actor FROM ts_points_detail ORDER BY user_seq").await, ["shop", "ops"]);
    let denied = shop.keys.list_accounts(pb::ListAccountsRequest::default()).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    for line in ["BillingService/Credit\",\"actor\":\"shop\"", "KeyService/ListAccounts\",\"actor\":\"shop\""]
    {
        says(&scrip, line).await;
    }
    let log = "SELECT actor FROM scrip_audit_log WHERE subject_kind = 'account'";
    assert_eq!(texts(&scrip, log).await, ["ops"]);
    assert_eq!(scrip.verify().await.0, Some(0));
}

async fn the_audit_log_tells_who_made_and_revoked_a_token(scrip: Scrip) {
    let url = scrip.database_url.clone();
    let token =
        tokens::create(&url, "checkout --role biller --role runner --users 7-9 --expires-in 1h").await;
    assert!(tokens::scrip(&url, "tokens revoke 1 --reason leaked").await.status.success());
    let log = "SELECT actor || ' ' || subject || ' ' || reason || ' ' || changes FROM scrip_audit_log \
               WHERE subject_kind = 'token' ORDER BY id";
    let lines = texts(&scrip, log).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("cli 1 created {"), "{lines:?}");
    for part in [
        r#""name":["","checkout"]"#,
        r#""roles":["","biller,runner"]"#,
        r#""users":["","7-9"]"#,
        "expires_at",
    ] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    assert!(lines[1].starts_with("cli 1 leaked {") && lines[1].contains("revoked"), "{lines:?}");
    assert!(!lines.concat().contains(&token), "{lines:?}");
}

async fn commands_that_call_a_server_carry_a_token(scrip: Scrip) {
    let url = scrip.database_url.clone();
    let token = tokens::create(&url, "bench --role admin").await;
    let addr = scrip.server.addr().to_string();
    let run = |variables: Vec<(&'static str, String)>, line: String| async move {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"));
        command.args(line.split_whitespace()).envs(variables).stdin(std::process::Stdio::null());
        command.output().await.unwrap()
    };
    let bench = format!("bench --addr {addr} --users 2 --in-flight 4 --seconds 1");
    let without = run(vec![], bench.clone()).await;
    assert!(!without.status.success(), "{without:?}");
    let with = run(vec![("SCRIP_TOKEN", token.clone())], bench.clone()).await;
    assert!(with.status.success(), "{with:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let from_file = run(vec![], format!("{bench} --token-file {}", file.display())).await;
    assert!(from_file.status.success(), "{from_file:?}");
    let both = run(vec![("SCRIP_TOKEN", token)], format!("{bench} --token-file {}", file.display())).await;
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    let health = run(vec![], format!("health --addr {addr}")).await;
    assert!(health.status.success(), "health needs none: {health:?}");
}
