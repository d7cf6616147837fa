//! The dashboards before a real Prometheus that scrapes a busy server: each panel of theirs has something to show.
//!
//! DASHBOARDS_SECONDS keeps the server busy for longer, and DASHBOARDS_OUT names a folder for what each query gave over
//! that time, as Prometheus answers it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use scrip::clock::System;
use scrip::fal::fake::{Fault, Route, Workspace};
use scrip::pb;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tonic::Code;

use crate::documents::{Query, dashboards, queries, read};
use crate::scrape::http;
use crate::support::client::{authorize, charge, refused};
use crate::support::{eventually, postgres, say_not_run};
use crate::world::{SECRET, World};

/// Figures that are not there while nobody asked for them: here nothing is exported.
const EMPTY: [(&str, &str); 1] = [("Telemetry that was lost", "{{signal}} not exported")];
/// Panels and figures beside others that are zero while all is well, or but for moments that a scrape may miss.
const ZERO: [(&str, &str); 13] = [
    ("Database away", ""),
    ("Own failures", ""),
    ("Batches run again", ""),
    ("Commits without an answer", ""),
    ("Holds that expired", ""),
    ("Leases nobody gave back", ""),
    ("Telemetry that was lost", ""),
    ("Runs that are not over", ""),
    ("Waiting commands", "{{instance}} lane {{lane}}"),
    ("Bytes that wait", "{{instance}}"),
    ("How long commands waited", "oldest now"),
    ("Open holds", "overdue"),
    ("Leases in flight", "overdue"),
];

/// A Prometheus of its own; dropping it ends it.
struct Prometheus {
    addr: SocketAddr,
    _child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// As compose.yaml has it, but for the targets, and that everything is done each second.
    async fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = read("deploy/compose/prometheus.yaml");
        let hurried =
            config.replace("15s", "1s").replace("[scrip-a:9464, scrip-b:9464]", &format!("['{target}']"));
        assert!(hurried.contains(&target.to_string()), "{config}");
        std::fs::write(folder.path().join("prometheus.yml"), hurried).unwrap();
        std::fs::write(folder.path().join("alerts.yaml"), read("deploy/prometheus/alerts.yaml")).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={addr}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // A connection of its own to see whether there is anybody: http() insists on an answer.
        eventually("Prometheus is ready", async || {
            TcpStream::connect(addr).await.is_ok() && http(addr, "GET /-/ready HTTP/1.0", "").await.0 == 200
        })
        .await;
        Self { addr, _child: child, _folder: folder }
    }

    async fn ask(&self, path: &str) -> Value {
        // Of HTTP 1.0 the answer ends with the connection, in one piece.
        let (status, body) = http(self.addr, &format!("GET {path} HTTP/1.0"), "").await;
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|why| panic!("{path}: {why}: {body}"));
        assert_eq!((status, answer["status"].as_str()), (200, Some("success")), "{path}: {answer}");
        answer["data"].clone()
    }

    /// What a query of a panel gave in the last so many seconds, its variables filled in.
    async fn over(&self, query: &Query, instance: &str, seconds: i64) -> Vec<Value> {
        let expression = query.expression.replace("$__rate_interval", "30s").replace("$instance", instance);
        let now = System::clock().now().0 / 1_000_000;
        let (from, query) = (now - seconds, percent(&expression));
        let range = format!("/api/v1/query_range?query={query}&start={from}&end={now}&step=1");
        self.ask(&range).await["result"].as_array().unwrap().clone()
    }
}

/// As in the query of a URL.
fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The labels that a legend names, `{{so}}`.
fn labels(legend: &str) -> Vec<&str> {
    legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()).collect()
}

impl World {
    /// Two accounts, one of which fal will lock.
    async fn prepare(&mut self) {
        self.fal.world().add(Workspace::new("studio", "12.5").key(&format!("key-b:{SECRET}")));
        for (name, workspace, key) in [("main", "acme", "key-a"), ("spare", "studio", "key-b")] {
            let account = pb::CreateAccountRequest {
                name: name.into(),
                api_key: format!("{key}:{SECRET}"),
                workspace: workspace.into(),
                max_concurrency: Some(2),
                ..Default::default()
            };
            self.scrip.keys.create_account(account).await.unwrap();
        }
    }

    /// One of each thing that callers do, `round` by round.
    async fn busy(&mut self, round: usize) {
        let scrip = &mut self.scrip;
        let user = i64::try_from(round % 7).unwrap() + 1;
        for purse in [pb::Purse::Points, pb::Purse::Cash] {
            scrip.credit(user, 500, purse, &format!("credit-{round}-{}", purse.as_str_name())).await;
        }
        let task = |what: &str| format!("{what}-{round}");
        for what in ["done", "failed", "leased-0", "leased-1", "leased-2", "leased-3", "leased-4", "waiting"]
        {
            scrip.charge(user, &task(what), 30).await;
        }
        refused(
            scrip.billing.charge(charge(user, &task("dear"), 10_000_000)).await,
            Code::FailedPrecondition,
            "INSUFFICIENT_BALANCE",
        );
        for what in ["taken", "open"] {
            scrip.billing.authorize(authorize(user, &task(what), 50)).await.unwrap();
        }
        let capture = pb::CaptureRequest { task_id: task("taken"), amount: 40, ..Default::default() };
        scrip.billing.capture(capture).await.unwrap();
        let done = pb::CompleteTaskRequest { task_id: task("done"), ..Default::default() };
        scrip.tasks.complete_task(done).await.unwrap();
        let failed =
            pb::FailTaskRequest { task_id: task("failed"), error: "upstream".into(), ..Default::default() };
        scrip.tasks.fail_task(failed).await.unwrap();

        // All keys that there are, and one more; then they come back with what fal answered.
        let mut leases = Vec::new();
        for number in 0..5 {
            let select = pb::SelectKeyRequest {
                task_id: task(&format!("leased-{number}")),
                runner_id: "runner".into(),
                ..Default::default()
            };
            match scrip.keys.select_key(select).await {
                Ok(answer) => leases.push(answer.into_inner().lease.unwrap()),
                refusal => {
                    refused(refusal, Code::ResourceExhausted, "NO_KEY_AVAILABLE");
                    break;
                }
            }
        }
        assert!((1..5).contains(&leases.len()), "four slots at most: {leases:?}");
        let mut patient = scrip.keys.clone();
        let wait = pb::SelectKeyRequest {
            task_id: task("waiting"),
            max_wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            ..Default::default()
        };
        let waiting = tokio::spawn(async move { patient.select_key(wait).await });
        // A scrape sees who waits: the first time in any case.
        tokio::time::sleep(Duration::from_millis(if round == 0 { 2_500 } else { 300 })).await;
        for lease in leases {
            let renew = pb::RenewLeaseRequest { lease_id: lease.lease_id.clone(), ..Default::default() };
            scrip.keys.renew_lease(renew).await.unwrap();
            let locked = lease.account_id == 2;
            let release = pb::ReleaseKeyRequest {
                lease_id: lease.lease_id,
                http_status: if locked { 403 } else { 200 },
                error_message: if locked { "User is locked. Reason: Exhausted balance." } else { "" }.into(),
                ..Default::default()
            };
            scrip.keys.release_key(release).await.unwrap();
        }
        // This one is kept a while: leases in flight.
        let lease = waiting.await.unwrap().unwrap().into_inner().lease.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let release =
            pb::ReleaseKeyRequest { lease_id: lease.lease_id, http_status: 500, ..Default::default() };
        scrip.keys.release_key(release).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_panel_shows_what_a_busy_server_does() {
    if postgres::on_path("prometheus").is_none() {
        return say_not_run("prometheus is not here: install Debian's");
    }
    let seconds = std::env::var("DASHBOARDS_SECONDS").map_or(12, |text| text.parse::<i64>().unwrap());
    let mut world = World::on_sqlite(|launch| launch).await;
    let prometheus = Prometheus::start(world.admin).await;
    // A rate needs the time before: what began at 1 has not grown.
    eventually("it is scraped", async || {
        let up = prometheus.ask("/api/v1/query?query=scrip_build_info").await;
        !up["result"].as_array().unwrap().is_empty()
    })
    .await;
    world.prepare().await;
    let end = Instant::now() + Duration::from_secs(seconds.unsigned_abs());
    let mut round = 0;
    while Instant::now() < end {
        world.busy(round).await;
        if round % 5 == 0 {
            // It is asked again.
            world.fal.world().plan(Route::Events, 1, Fault::Error(500, "internal_server_error"));
            world.reconcile().await;
        }
        round += 1;
    }

    // As Grafana fills in one of several instances.
    let instance = world.admin.to_string().replace('.', r"\\.");
    let mut wrong = Vec::new();
    for path in dashboards() {
        let mut kept = Vec::new();
        for query in queries(&path) {
            let found = prometheus.over(&query, &instance, seconds).await;
            wrong
                .extend(fault_of(&query, &found).map(|what| {
                    format!("{}: {}: {}: {what}", path.display(), query.title, query.expression)
                }));
            kept.push(json!({"title": query.title, "legend": query.legend, "result": found}));
        }
        if let Ok(folder) = std::env::var("DASHBOARDS_OUT") {
            let file = Path::new(&folder).join(path.file_name().unwrap());
            std::fs::write(file, serde_json::to_vec(&kept).unwrap()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let groups = prometheus.ask("/api/v1/rules").await;
    let rules =
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let broken: Vec<&Value> = rules.filter(|rule| rule["health"] != "ok").collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// What is wrong with what a query gave.
fn fault_of(query: &Query, found: &[Value]) -> Option<String> {
    let named = labels(&query.legend);
    if let Some(series) =
        found.iter().find(|series| named.iter().any(|label| !series["metric"][label].is_string()))
    {
        return Some(format!("{} is not in {}", query.legend, series["metric"]));
    }
    let shows = |value: &Value| value[1].as_str().unwrap().parse::<f64>().unwrap().abs() > 0.0;
    let mut values = found.iter().flat_map(|series| series["values"].as_array().unwrap());
    let is_of = |known: &[(&str, &str)]| {
        known
            .iter()
            .any(|(title, legend)| *title == query.title && (legend.is_empty() || *legend == query.legend))
    };
    match values.next() {
        None if !is_of(&EMPTY) => Some("nothing".to_owned()),
        Some(first) if !is_of(&ZERO) && !shows(first) && !values.any(shows) => {
            Some("nothing but zero".to_owned())
        }
        _ => None,
    }
}
