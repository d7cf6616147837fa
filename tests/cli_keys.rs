//! `scrip keys` as an operator uses it: secrets go in and never come out.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use support::desk::{Desk, Said};
use support::server::{Launch, ScripProcess};

/// A secret that must be found nowhere.
const CANARY: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0";

fn key(id: &str) -> String {
    format!("{id}:{CANARY}\n")
}

/// A desk with a migrated database.
fn desk() -> Desk {
    let desk = Desk::empty();
    assert_eq!(desk.run("migrate").code, 0);
    desk
}

/// Done, and its secret not told.
fn done(said: Said) -> Said {
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!format!("{said:?}").contains(CANARY), "{said:?}");
    said
}

/// The KEK file of these ids, made by the binary itself, for its owner alone.
fn write_keks(desk: &Desk, name: &str, ids: &[&str]) {
    let lines: String = ids.iter().map(|id| desk.run(&format!("keys new-kek {id}")).out).collect();
    std::fs::write(desk.path(name), lines).unwrap();
    chmod(desk, name, 0o600);
}

fn chmod(desk: &Desk, name: &str, mode: u32) {
    std::fs::set_permissions(desk.path(name), PermissionsExt::from_mode(mode)).unwrap();
}

/// No file of the desk holds the secret, or a part of it.
fn assert_no_secret_at_rest(desk: &Desk) {
    for file in std::fs::read_dir(desk.path("")).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(12).any(|window| window == &CANARY.as_bytes()[..12]);
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn an_account_lives_from_its_addition_to_its_deletion_and_never_shows_its_secret() {
    let desk = desk();
    let listed = desk.run("keys list");
    assert_eq!(listed.out, "there is no account: `scrip keys add NAME` adds one\n", "{listed:?}");

    let line = "keys add 主账号 --workspace team --max-concurrency 10 --balance-usd 38.80 --request-id first";
    let added = done(desk.feed(&key("id-1"), line));
    assert!(added.out.starts_with("account 1 (主账号) was added\n"), "{added:?}");
    assert!(added.err.contains("created ./scrip.db.kek") && added.err.contains("back it up"), "{added:?}");
    let again = done(desk.feed(&key("id-1"), line));
    assert!(again.out.starts_with("already done: account 1") && again.err.is_empty(), "{again:?}");
    done(desk.feed(&format!("id-2:{CANARY}\r\nadmin:{CANARY}\r\n"), "keys add second --with-billing-key"));
    desk.feed(&key("id-1"), "keys add twice").refused_with(1, &["key id-1"]);

    let list = done(desk.run("keys list"));
    let lines: Vec<&str> = list.out.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines[0].starts_with("ID  NAME    KEY   WORKSPACE  STATUS   HEALTH   IN FLIGHT"), "{list:?}");
    let second = ["2", "second", "id-2", "-", "enabled", "healthy", "0/2", "-", "-", "0.0%", "0"];
    assert_eq!(words(lines[1]), second, "{list:?}");
    let first = ["1", "主账号", "id-1", "team", "enabled", "healthy", "0/10", "-", "38.80", "0.0%", "0"];
    assert_eq!(words(lines[2]), first, "{list:?}");

    let rotated = done(desk.feed(&key("id-1b"), "keys rotate 1 --reason quarterly"));
    assert!(rotated.out.starts_with("account 1 (主账号) has another key\n"), "{rotated:?}");
    assert!(rotated.out.contains("id-1b"), "{rotated:?}");
    done(desk.feed(&key("admin-1"), "keys rotate 1 --billing"));
    for (word, status) in [("drain", "draining"), ("disable", "disabled"), ("enable", "enabled")] {
        done(desk.run(&format!("keys {word} 1 --reason tested")));
        assert_eq!(desk.json("keys show 1")[0]["status"], status);
    }
    done(
        desk.run(
            "keys set 1 --max-concurrency 20 --allow-app fal-ai/flux/* --balance-unknown --no-billing-key",
        ),
    );
    let shown = &desk.json("keys show 1")[0];
    assert_eq!(
        (&shown["max_concurrency"], &shown["allowed_apps"]),
        (&20.into(), &vec!["fal-ai/flux/*"].into())
    );
    assert!(shown["balance_nano_usd"].is_null() && shown["has_billing_api_key"] == false, "{shown}");

    let shown = done(desk.run("keys show 1"));
    for part in
        ["key_id id-1 → id-1b", "quarterly", "status draining → disabled", "max_concurrency 10 → 20", "cli"]
    {
        assert!(shown.out.contains(part), "{part} in {shown:?}");
    }
    desk.run("keys delete 2").refused_with(2, &["--yes"]);
    let deleted = done(desk.run("keys delete 2 --yes --reason closed"));
    assert!(deleted.out.starts_with("account 2 (second) was deleted"), "{deleted:?}");
    for line in ["keys show 2", "keys enable 2", "keys delete 2 --yes", "keys show 99"] {
        desk.run(line).refused_with(1, &["there is no account", "`scrip keys list`"]);
    }
    assert_eq!(desk.json("keys list").len(), 1);
    assert_no_secret_at_rest(&desk);
    assert_eq!(desk.run("verify").code, 0);
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let desk = desk();
    for words in [
        vec!["keys", "add", "main", CANARY],
        vec!["keys", "add", &format!("id:{CANARY}")],
        vec!["keys", "add", "main", "--remark", &format!("id:{CANARY}")],
        vec!["keys", "rotate", "1", &format!("id:{CANARY}")],
        vec!["keys", "rotate", &format!("id:{CANARY}")],
        vec!["keys", "set", "1", "--name", &format!("id:{CANARY}")],
    ] {
        let refused = desk.run_words(&words);
        refused.refused_with(2, &["may be a key", "stdin"]);
        assert!(!format!("{refused:?}").contains(CANARY), "{refused:?}");
    }
    for flag in ["--api-key", "--key", "--secret"] {
        let refused = desk.run_words(&["keys", "add", "main", &format!("{flag}={CANARY}")]);
        assert!(refused.code == 2 && !format!("{refused:?}").contains(CANARY), "{refused:?}");
    }
    assert!(desk.json("keys list").is_empty());
    assert!(!desk.path("scrip.db.kek").exists());
}

#[test]
fn what_is_no_key_is_refused_before_anything_is_made() {
    let desk = desk();
    for stdin in ["", "\n", CANARY, &format!("id:{CANARY} {CANARY}"), &format!("id:{}", CANARY.repeat(30))] {
        let refused = desk.feed(stdin, "keys add main");
        refused.refused_with(2, &["the fal key: ", "nothing was done"]);
        assert!(!format!("{refused:?}").contains(CANARY), "{refused:?}");
    }
    desk.feed(&key("id-1"), "keys add main --with-billing-key").refused_with(2, &["the billing key: "]);
    desk.feed(&key("id-1"), "keys add main --max-concurrency 0")
        .refused_with(1, &["max_concurrency must be 1"]);
    desk.feed(&key("id-1"), "keys add main --workspace a:b").refused_with(1, &["workspace must not"]);
    assert_eq!(desk.feed(&key("id-1"), "keys add main --balance-usd 1e3").code, 2);
    assert_eq!(desk.run("keys set 1").code, 2, "something must be changed");
    desk.feed(&key("id-1"), "keys rotate 1").refused_with(1, &["there is no account 1"]);
    assert!(!desk.path("scrip.db.kek").exists(), "no key is made for nothing");
}

#[test]
fn secrets_go_under_a_new_key_encryption_key_beside_a_running_database() {
    let desk = desk();
    write_keks(&desk, "old", &["old"]);
    for account in 1..=3 {
        let line = format!("keys add account-{account} --kek-file old --with-billing-key");
        done(desk.feed(&format!("{}{}", key(&format!("id-{account}")), key("admin")), &line));
    }
    let nothing = done(desk.run("keys rotate-kek --kek-file old"));
    assert_eq!(nothing.out, "0 sealed anew, 6 were sealed with the newest key already, 0 not opened\n");

    write_keks(&desk, "next", &["new"]);
    let both = [std::fs::read(desk.path("next")).unwrap(), std::fs::read(desk.path("old")).unwrap()].concat();
    std::fs::write(desk.path("both"), both).unwrap();
    chmod(&desk, "both", 0o600);
    let rotated = done(desk.run("keys rotate-kek --kek-file both"));
    assert_eq!(rotated.out, "6 sealed anew, 0 were sealed with the newest key already, 0 not opened\n");
    let new_alone = done(desk.run("keys rotate-kek --kek-file next"));
    assert_eq!(new_alone.out, "0 sealed anew, 6 were sealed with the newest key already, 0 not opened\n");
    let log = desk.run("keys show 1").out;
    assert!(log.contains("kek_id old → new"), "{log}");

    let old_alone = desk.run("keys rotate-kek --kek-file old");
    assert_eq!(old_alone.code, 1, "{old_alone:?}");
    assert_eq!(old_alone.out.matches("not opened: account ").count(), 6, "{old_alone:?}");
    assert!(old_alone.out.contains("billing key admin"), "{old_alone:?}");
    assert_no_secret_at_rest(&desk);
}

#[test]
fn the_key_of_another_database_stores_nothing() {
    let mut desk = desk();
    done(desk.feed(&key("id-1"), "keys add main"));
    let kek = std::fs::read(desk.path("scrip.db.kek")).unwrap();
    // Another key under the same id.
    write_keks(&desk, "wrong", &["k1"]);
    desk.feed(&key("id-2"), "keys add second --kek-file wrong")
        .refused_with(2, &["open none of the fal keys", "sealed with k1"]);
    assert_eq!(std::fs::read(desk.path("scrip.db.kek")).unwrap(), kek, "left as it was");

    // The file is gone: no other is made in its place.
    std::fs::rename(desk.path("scrip.db.kek"), desk.path("kept")).unwrap();
    for line in ["keys add second", "keys rotate 1", "keys rotate-kek", "serve --listen 127.0.0.1:0"] {
        desk.feed(&key("id-2"), line)
            .refused_with(2, &["sealed with the key-encryption key \"k1\"", "--kek-file"]);
    }
    assert!(!desk.path("scrip.db.kek").exists());
    // Lost for good: the accounts' keys are stored again under another.
    write_keks(&desk, "fresh", &["k2"]);
    done(desk.feed(&key("id-1"), "keys rotate 1 --kek-file fresh"));
    desk.set("SCRIP_KEK_FILE", "fresh");
    assert_eq!(desk.run("keys rotate-kek").code, 0);

    chmod(&desk, "fresh", 0o644);
    for line in ["keys add second", "keys rotate-kek", "serve --listen 127.0.0.1:0"] {
        desk.feed(&key("id-2"), line).refused_with(2, &["fresh", "0644", "chmod 600"]);
    }
    assert_eq!(desk.json("keys list").len(), 1);
}

/// Leases a key for a new task of user 1.
async fn lease(server: &ScripProcess, task_id: &str) -> pb::KeyLease {
    let mut billing = BillingServiceClient::new(server.channel().await);
    let request = pb::ChargeRequest {
        user_id: 1,
        task_id: task_id.to_owned(),
        app_name: "fal-ai/flux/dev".to_owned(),
        select_key: Some(pb::KeySelection::default()),
        ..pb::ChargeRequest::default()
    };
    billing.charge(request).await.unwrap().into_inner().lease.unwrap()
}

#[tokio::test]
async fn a_server_makes_its_key_once_and_leases_what_commands_store_beside_it() {
    let desk = Desk::empty();
    let mut server = Launch::new(&desk.url()).start().await;
    let file = desk.path("scrip.db.kek");
    let said =
        format!("key-encryption key: created {}; stored fal keys cannot be read without it", file.display());
    support::eventually("it says that it made a key", || async { server.logs().contains(&said) }).await;
    let kek = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.run("credit 1 100 --purse points --request-id opening").code, 0);
    let added = done(desk.feed(&key("id-1"), "keys add main"));
    assert!(added.err.is_empty(), "{added:?}");
    assert_eq!(lease(&server, "job-1").await.api_key, key("id-1").trim());
    assert_eq!(desk.json("keys list")[0]["in_flight"], 1);
    server.sigterm().await;
    assert!(server.wait().await.success());

    // A new key first, the server restarted with both, and what is stored sealed anew under its hands.
    let both = format!("{}{kek}", desk.run("keys new-kek k2").out);
    std::fs::write(&file, &both).unwrap();
    let server = Launch::new(&desk.url()).start().await;
    support::eventually("it found its keys", || async {
        server.logs().contains("key-encryption keys found")
    })
    .await;
    assert!(done(desk.run("keys rotate-kek")).out.starts_with("1 sealed anew, 0 were "));
    assert_eq!(lease(&server, "job-2").await.api_key, key("id-1").trim());
    let logs = server.logs();
    assert!(!logs.contains("created") && !logs.contains(CANARY), "{logs}");
    for digits in both.lines().filter_map(|line| line.strip_prefix("k1:").or(line.strip_prefix("k2:"))) {
        assert!(!logs.contains(digits), "{logs}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), both, "left as it was");
}

#[test]
fn a_server_does_not_start_with_a_key_file_that_others_can_read() {
    let desk = desk();
    write_keks(&desk, "scrip.db.kek", &["k1"]);
    chmod(&desk, "scrip.db.kek", 0o644);
    for line in ["serve --listen 127.0.0.1:0", "keys add main", "keys rotate-kek"] {
        desk.feed(&key("id-1"), line).refused_with(2, &["scrip.db.kek", "0644", "chmod 600"]);
    }
}

#[tokio::test]
async fn on_postgresql_secrets_wait_for_a_configured_key() {
    let Some(cluster) = support::postgres::shared() else { return };
    let mut desk = Desk::empty();
    desk.set("SCRIP_DATABASE_URL", &cluster.fresh_database().await);
    assert_eq!(desk.run("migrate").code, 0);
    for line in ["keys add main", "keys rotate 1", "keys rotate-kek"] {
        desk.feed(&key("id-1"), line).refused_with(2, &["scrip keys new-kek", "--kek-file"]);
    }
    write_keks(&desk, "kek", &["k1"]);
    desk.set("SCRIP_KEK_FILE", "kek");
    done(desk.feed(&key("id-1"), "keys add 主账号 --workspace team --balance-usd 0.5"));
    assert_eq!(desk.json("keys list")[0]["balance_nano_usd"], 500_000_000);
    done(desk.run("keys drain 1 --reason tested"));
    assert!(done(desk.run("keys show 1")).out.contains("status enabled → draining"));
    write_keks(&desk, "next", &["k2"]);
    let both = [std::fs::read(desk.path("next")).unwrap(), std::fs::read(desk.path("kek")).unwrap()].concat();
    std::fs::write(desk.path("kek"), both).unwrap();
    assert!(done(desk.run("keys rotate-kek")).out.starts_with("1 sealed anew, "));
    done(desk.run("keys delete 1 --yes"));
    assert!(desk.json("keys list").is_empty());
    assert_no_secret_at_rest(&desk);
    assert_eq!(desk.run("verify").code, 0);
}
