//! A secret goes through the whole service, at the most talkative log level and with every mistake a caller can make
//! with it: afterwards it is in the lease that was asked for, and nowhere else.

#![allow(clippy::unwrap_used)]

mod support;

use prost::Message;
use scrip::pb;
use sqlx::{AssertSqlSafe, Row};
use support::client::{KEK, Scrip, charge};
use support::postgres;
use support::server::Launch;
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
    let launch = Launch::new(&url).env("SCRIP_KEK", KEK).env("SCRIP_LOG", "trace");
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
