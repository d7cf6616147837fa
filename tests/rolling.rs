//! A rolling upgrade: three replicas on one PostgreSQL, stopped and started one after the other while a client works
//! that knows of nothing but the service config of docs/clients.md. Not one of its calls may fail.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Stdio;

use scrip::pb;
use support::client::{credit, verify};
use support::server::{Launch, ScripProcess};
use support::{eventually, peers, postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

const USER: i64 = 8001;
const POINTS: i64 = 1_000_000_000;
const REPLICAS: usize = 3;
/// Charges between two stops: enough that each replica has some in hand.
const BETWEEN: i64 = 300;

/// grpcio retries as the service config says, and in no other way. It charges until its stdin ends.
const CLIENT: &str = r#"
import sys, threading
import grpc

target, service_config = sys.argv[1], open(sys.argv[2]).read()
sys.path += sys.argv[3:5]
messages, services = grpc.protos_and_services("scrip/v1/billing_service.proto")
# A list of addresses is no name of a host, and would be sent as one.
options = [("grpc.service_config", service_config), ("grpc.default_authority", "scrip")]
channel = grpc.insecure_channel(target, options=options)
billing = services.BillingServiceStub(channel)
over, calls, failures = threading.Event(), [0] * 8, []

def charge(thread):
    while not over.is_set():
        request = messages.ChargeRequest(user_id=8001, task_id=f"t{thread}-{calls[thread]}", amount=1)
        try:
            billing.Charge(request)
            calls[thread] += 1
        except grpc.RpcError as error:
            failures.append(f"{request.task_id}: {error.code()} {error.details()}")
            print(failures[-1], file=sys.stderr)
            return

threads = [threading.Thread(target=charge, args=(number,)) for number in range(len(calls))]
for thread in threads: thread.start()
sys.stdin.read()
over.set()
for thread in threads: thread.join()
print(sum(calls), *failures, sep="\n")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_restarted_one_by_one_fail_no_call_of_a_client_with_the_documented_retries() {
    let Some(python) = peers::python_with_grpc_tools() else { return };
    let Some(cluster) = postgres::shared() else { return };
    let url = cluster.fresh_database().await;
    let mut replicas: Vec<ScripProcess> = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Launch::new(&url).start().await);
    }
    let mut billing =
        pb::billing_service_client::BillingServiceClient::connect(format!("http://{}", replicas[0].addr()))
            .await
            .unwrap();
    billing.credit(credit(USER, POINTS, pb::Purse::Points, "start")).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/clients.md")).unwrap();
    let config = page.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let (program, config_file) = (folder.path().join("client.py"), folder.path().join("config.json"));
    std::fs::write(&program, CLIENT).unwrap();
    std::fs::write(&config_file, config).unwrap();
    let addresses: Vec<String> = replicas.iter().map(|replica| replica.addr().to_string()).collect();
    let mut client = Command::new(python)
        .arg(&program)
        .arg(format!("ipv4:{}", addresses.join(",")))
        .args([config_file, root.join("proto"), root.join("third_party")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    for replica in &mut replicas {
        charged_since(&url).await;
        let addr = replica.addr();
        replica.sigterm().await;
        let status = replica.wait().await;
        assert!(status.success(), "{status}\n{}", replica.logs());
        let logs = replica.logs();
        assert!(logs.contains("\"connections_cut\":0"), "{logs}");
        charged_since(&url).await;
        *replica = Launch::new(&url).listen(addr).start().await;
    }
    charged_since(&url).await;

    client.stdin.take().unwrap().shutdown().await.unwrap();
    let mut said = String::new();
    client.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    let mut lines = said.lines();
    let calls: i64 = lines.next().and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(lines.collect::<Vec<_>>(), [""; 0], "no call failed");
    assert_eq!(POINTS - points(&url).await, calls, "each charged once");
    assert_eq!(verify(&url).await.0, Some(0));
}

/// Returns when the client has come on by some more charges.
async fn charged_since(url: &str) {
    let before = points(url).await;
    eventually("the client charges", async || before - points(url).await >= BETWEEN).await;
}

async fn points(url: &str) -> i64 {
    let mut connection = postgres::connect(url).await;
    let asked = sqlx::query_scalar("SELECT points_balance FROM ts_users WHERE id = $1").bind(USER);
    asked.fetch_one(&mut connection).await.unwrap()
}
