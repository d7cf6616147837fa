//! A secret goes through the whole service, at the most talkative log level and with every mistake a caller can make
//! with it: afterwards it is in the lease that was asked for, and nowhere else.

#![allow(clippy::unwrap_used)]

#[path = "e2e/certificates.rs"]
mod certificates;
mod support;

use prost::Message;
use scrip::pb;
use sqlx::{AssertSqlSafe, Row};
use support::client::{KEK, Scrip, charge};
use support::postgres;
use support::server::Launch;
use support::tokens;
use tonic::{Response, Status};

/// No word of any table, log or message holds this by itself.
const CANARY: &str = "cAnArY-7f3a91";

/// What was answered so far, as bytes of the wire.
#[derive(Default)]
struct Heard(Vec<u8>);

impl Heard {
    fn hear<T: Message>(&mut self, answer: Result<Response<T>, Status>) -> Option<T> {
        match answer {
            Ok(answer) => {
                let (metadata, message, _) = answer.into_parts();
                self.0.extend(format!("{metadata:?}").into_bytes());
                self.0.extend(message.encode_to_vec());
                Some(message)
            }
            Err(status) => {
                self.0.extend(format!("{status:?}").into_bytes());
                self.0.extend(status.details());
                None
            }
        }
    }
}

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

fn selecting(task_id: &str) -> pb::ChargeRequest {
    pb::ChargeRequest { select_key: Some(pb::KeySelection::default()), ..charge(7, task_id, 0) }
}

/// Every call that a secret goes into or might come out of; answers what was heard beside the leases themselves.
async fn say_it_everywhere(scrip: &mut Scrip) -> Heard {
    let mut heard = Heard::default();
    let secret = |id: &str| format!("{id}:{CANARY}");
    let create = |api_key: String, name: &str| pb::CreateAccountRequest {
        name: name.into(),
        api_key,
        billing_api_key: secret("admin"),
        max_concurrency: Some(3),
        ..Default::default()
    };
    let account = heard.hear(scrip.keys.create_account(create(secret("key-1"), "one")).await).unwrap();
    let account_id = account.account.unwrap().account_id;
    heard.hear(scrip.keys.create_account(create(secret("key-1"), "twice")).await);
    // Where it does not belong.
    heard.hear(scrip.keys.create_account(create(format!("no colon {CANARY}"), "bad")).await);
    let misplaced = pb::CreateAccountRequest { workspace: secret("key-2"), ..create(secret("key-2"), "x") };
    heard.hear(scrip.keys.create_account(misplaced).await);
    let update = |paths: &[&str], api_key: &str| pb::UpdateAccountRequest {
        account: Some(pb::Account { account_id, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|&path| path.into()).collect() }),
        api_key: secret(api_key),
        ..Default::default()
    };
    heard.hear(scrip.keys.update_account(update(&["name"], "key-3")).await);
    heard.hear(scrip.keys.update_account(update(&[&secret("path")], "key-3")).await);

    // The leases it is meant for; each is taken out of what was heard.
    let mut charged = scrip.billing.charge(selecting("job")).await.unwrap().into_inner();
    let lease = charged.lease.take().unwrap();
    assert_eq!(lease.api_key, secret("key-1"));
    heard.0.extend(charged.encode_to_vec());
    heard.0.extend(format!("{lease:?}").into_bytes());
    let mut replay = scrip.billing.charge(selecting("job")).await.unwrap().into_inner();
    assert_eq!(replay.lease.take().unwrap().api_key, secret("key-1"));

    heard.hear(scrip.keys.update_account(update(&["api_key"], "key-3")).await);
    let renew = pb::RenewLeaseRequest { lease_id: lease.lease_id.clone(), ttl: None };
    heard.hear(scrip.keys.renew_lease(renew).await);
    let start = pb::StartTaskRequest { task_id: "job".into(), key_id: secret("key-1"), ..Default::default() };
    heard.hear(scrip.tasks.start_task(start).await);
    let tasks = pb::ListTasksRequest { key_id: secret("key-1"), ..Default::default() };
    heard.hear(scrip.tasks.list_tasks(tasks).await);
    let release = pb::ReleaseKeyRequest {
        lease_id: lease.lease_id,
        http_status: 401,
        // What a careless runner might pass on.
        error_message: format!("{{\"detail\":\"No user found for Key ID and Secret {CANARY}\"}}"),
        ..Default::default()
    };
    heard.hear(scrip.keys.release_key(release).await);
    heard.hear(scrip.billing.charge(pb::ChargeRequest { select_key: None, ..selecting("job") }).await);
    heard.hear(scrip.tasks.list_tasks(pb::ListTasksRequest::default()).await);
    heard.hear(scrip.tasks.get_task(pb::GetTaskRequest { task_id: "job".into(), user_id: 0 }).await);
    heard.hear(scrip.keys.list_accounts(pb::ListAccountsRequest::default()).await);
    heard.hear(scrip.keys.get_account(pb::GetAccountRequest { account_id }).await);
    let delete = pb::DeleteAccountRequest { account_id, reason: "gone".into(), ..Default::default() };
    heard.hear(scrip.keys.delete_account(delete).await);
    heard
}

async fn check(mut scrip: Scrip) -> Scrip {
    scrip.with_points(7, 100).await;
    let heard = say_it_everywhere(&mut scrip).await;
    assert!(heard.0.len() > 1_000 && !holds(&heard.0), "an answer holds it");
    let logs = scrip.server.logs();
    assert!(logs.contains("TRACE") && logs.contains("CreateAccount"), "the log tells all: {logs}");
    assert!(!holds(logs.as_bytes()), "the log holds it:\n{logs}");
    scrip
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_secret_is_in_its_lease_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("scrip.db").display());
    let launch = Launch::new(&url).env("SCRIP_LOG", "trace");
    let mut scrip = check(Scrip::on(launch, url, None).await).await;
    scrip.server.sigterm().await;
    scrip.server.wait().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        assert!(!holds(&std::fs::read(&path).unwrap()), "{} holds it", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_secret_is_in_its_lease_and_nowhere_else() {
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    // The server asks for no password, and gets one with the canary in it all the same.
    let with_password = url.replace("postgres@", &format!("postgres:{CANARY}@"));
    assert!(holds(with_password.as_bytes()));
    let launch =
        Launch::new(&with_password).url_by_environment().env("SCRIP_KEK", KEK).env("SCRIP_LOG", "trace");
    let _scrip = check(Scrip::on(launch, url.clone(), None).await).await;
    let mut connection = postgres::connect(&url).await;
    let tables = sqlx::query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut rows = 0;
    for table in tables {
        let name: String = table.get(0);
        let dump = AssertSqlSafe(format!("SELECT t::text FROM \"{name}\" AS t"));
        for row in sqlx::query(dump).fetch_all(&mut connection).await.unwrap() {
            rows += 1;
            // Bytes come as hexadecimal digits.
            let text: String = row.get(0);
            let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(CANARY) && !text.contains(&hex), "{name} holds it: {text}");
        }
    }
    assert!(rows > 10, "the tables were read");
}

/// A server with TLS, at the most talkative log level, and every way a token or a key comes near it or a command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_and_a_tls_key_are_shown_by_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("scrip.db").display());
    let ca = certificates::Authority::new("ca");
    let pair = ca.server(2050);
    let (cert, key) = pair.write(directory.path(), "server");
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, ca.pem()).unwrap();
    let shown = |path: &std::path::Path| path.display().to_string();
    let launch = Launch::new(&url)
        .env("SCRIP_LOG", "trace")
        .env("SCRIP_TLS_CERT", shown(&cert))
        .env("SCRIP_TLS_KEY", shown(&key));
    let mut server = launch.start().await;
    let made = tokens::create(&url, "checkout --role admin").await;
    let revoked = tokens::create(&url, "gone --role biller").await;
    let mut said = Vec::new();
    let mut hear = |output: std::process::Output| {
        said.extend(output.stdout);
        said.extend(output.stderr);
        output.status.success()
    };
    assert!(hear(tokens::scrip(&url, "tokens revoke --name gone --log trace").await));
    assert!(hear(tokens::scrip(&url, "tokens list --all --format json --log trace").await));
    // Where it does not belong.
    for line in [
        format!("tokens create {made} --role biller"),
        format!("tokens revoke {made}"),
        format!("tokens revoke 1 --reason leaked:{made}"),
        format!("tokens revoke --name {made}"),
        format!("health --addr {} --token-file {made}", server.addr()),
    ] {
        assert!(!hear(tokens::scrip(&url, &line).await), "{line}");
    }

    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(ca.pem()))
        .domain_name("localhost");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", server.addr())).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let mut heard = Heard::default();
    let wrong = format!("scrip_{CANARY}{}", "x".repeat(43 - CANARY.len()));
    for token in [made.as_str(), &revoked, &wrong, &format!("{wrong} and more")] {
        let mut bearing = tokens::Bearing::new(channel.clone(), token);
        heard.hear(bearing.billing.list_users(pb::ListUsersRequest::default()).await);
        let credit = support::client::credit(7, 1, pb::Purse::Points, "once");
        heard.hear(bearing.billing.credit(credit).await);
    }
    // A client of ours, as talkative.
    let bench = tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["bench", "--users", "1", "--in-flight", "1", "--seconds", "1", "--log", "trace"])
        .args(["--addr", &server.addr().to_string(), "--ca", &shown(&ca_file), "--server-name", "localhost"])
        .env("SCRIP_TOKEN", &made)
        .output()
        .await
        .unwrap();
    assert!(hear(bench));
    // A key that cannot be used, while it runs and at a start; and one in the place of its file's name.
    std::fs::write(&key, pair.key.replace("PRIVATE KEY", "PRIVATE KEYS")).unwrap();
    support::eventually("the broken key is refused", || async {
        server.logs().contains("changed certificates cannot be used")
    })
    .await;
    for key in [shown(&key), pair.key.clone()] {
        let launch = Launch::new(&url).env("SCRIP_TLS_CERT", shown(&cert)).env("SCRIP_TLS_KEY", key);
        said.extend(launch.try_start().await.unwrap_err().logs.into_bytes());
    }
    let help = tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(["serve", "--help"])
        .env("SCRIP_TLS_KEY", &pair.key)
        .env("SCRIP_TOKEN", &made)
        .output()
        .await
        .unwrap();
    said.extend(help.stdout);

    let arguments = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap_or_default();
    server.sigterm().await;
    server.wait().await;
    let logs = server.logs();
    assert!(logs.contains("TRACE") && logs.contains("ListUsers"), "the log tells all");
    let mut places = vec![
        ("an answer", heard.0),
        ("the log", logs.into_bytes()),
        ("the arguments", arguments),
        ("a command", said),
    ];
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension != "key") {
            places.push(("a file", std::fs::read(path).unwrap()));
        }
    }
    // Of a key the middle: its first bytes say of what kind it is, and are every key's.
    let body: String = pair.key.lines().filter(|line| !line.starts_with("-----")).collect();
    let secrets =
        [&made["scrip_".len()..], &revoked["scrip_".len()..], &wrong["scrip_".len()..], &body[60..100]];
    for (place, bytes) in places {
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{place} holds {secret}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}
