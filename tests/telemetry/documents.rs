//! What is written about the metrics is true of the running server: the documents, the dashboards and the alerts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use scrip::fal::fake::{Fault, Route};
use serde_json::Value;

use crate::collector::Collector;
use crate::scrape::{Scrape, admin_of, scrape};
use crate::support::{postgres, say_not_run};
use crate::world::{World, over_tls};

/// What metrics of scrip begin with.
const FAMILIES: [&str; 5] = ["scrip_", "rpc_", "db_", "http_", "process_"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// A scrape in which every metric there is shows.
async fn everything() -> Scrape {
    let collector = Collector::grpc().await;
    let url = collector.url();
    let mut world =
        World::on_sqlite(|launch| launch.env("SCRIP_OTLP_ENDPOINT", url).env("SCRIP_OTLP_PROTOCOL", "grpc"))
            .await;
    world.traffic().await;
    world.fal.world().plan(Route::Events, 1, Fault::HangUp);
    world.reconcile().await;
    let plain = world
        .until("all is told", |scrape| {
            scrape.has("scrip_reconciliation_age_seconds", &[])
                && scrape.has("scrip_telemetry_exports_total", &[])
                && scrape.has("scrip_account_health", &[])
                && scrape.has("scrip_workspace_balance_usd", &[])
                && scrape.has("scrip_database_up", &[])
        })
        .await;
    // What only a server over TLS has to tell.
    let (server, _folder) = over_tls().await;
    let tls = scrape(admin_of(&server).await).await;
    let of_tls = tls.text.lines().filter(|line| line.contains("scrip_server_certificate"));
    Scrape::read(plain.text.lines().chain(of_tls).collect::<Vec<_>>().join("\n"))
}

/// Meaning and labels of each family, as a row of the table in the documents.
fn rows(scrape: &Scrape) -> Vec<String> {
    let help = |family: &str| {
        let line = scrape.text.lines().find_map(|line| line.strip_prefix(&format!("# HELP {family} ")));
        line.unwrap_or_else(|| panic!("{family} has no meaning")).to_owned()
    };
    let row = |(family, kind): (&String, &String)| {
        let own = |name: &str| {
            let rest = name.strip_prefix(family.as_str());
            rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
        };
        let of = scrape.series.iter().filter(|(name, ..)| own(name));
        let labels: BTreeSet<&str> = of
            .flat_map(|(_, labels, _)| labels.keys().map(String::as_str))
            .filter(|key| *key != "le")
            .collect();
        let labels: Vec<String> = labels.into_iter().map(|label| format!("`{label}`")).collect();
        format!("| `{family}` | {kind} | {} | {} |", labels.join(", "), help(family))
    };
    scrape.types.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_dashboards_and_alerts_name_exactly_what_is_exported() {
    let scrape = everything().await;
    let expected = rows(&scrape);
    let document = read("docs/observability.md");
    let written: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let written: Vec<&str> = written
        .into_iter()
        .filter(|line| FAMILIES.iter().any(|family| line[3..].starts_with(family)))
        .collect();
    assert_eq!(written, expected, "docs/observability.md should have:\n{}", expected.join("\n"));

    let labels: BTreeSet<&str> =
        scrape.series.iter().flat_map(|(_, labels, _)| labels.keys().map(String::as_str)).collect();
    let mut files = vec!["deploy/prometheus/alerts.yaml".to_owned(), "docs/runbook.md".to_owned()];
    files.extend(dashboards().iter().map(|path| path.strip_prefix(root()).unwrap().display().to_string()));
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = read(&file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| FAMILIES.iter().any(|family| word.starts_with(family))) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            let is_known = scrape.types.contains_key(word)
                || family
                    .is_some_and(|family| scrape.types.get(family).is_some_and(|kind| kind == "histogram"))
                || labels.contains(word);
            assert!(is_known, "{file} names {word}, which nothing exports");
        }
    }
}

pub(crate) fn dashboards() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("deploy/grafana")).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    found.sort();
    found
}

/// One query of a panel, its variables not filled in.
pub(crate) struct Query {
    pub(crate) title: String,
    pub(crate) expression: String,
    pub(crate) legend: String,
}

/// Every query of a dashboard.
pub(crate) fn queries(path: &Path) -> Vec<Query> {
    let board: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "{}: ids repeat", path.display());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}: {} shows nothing", path.display(), panel["title"]);
        for target in targets {
            let expression = text(&target["expr"]);
            assert!(expression.contains("$instance"), "{}: {expression}", path.display());
            let (title, legend) = (text(&panel["title"]), text(&target["legendFormat"]));
            found.push(Query { title, expression, legend });
        }
    }
    found
}

#[test]
fn each_alert_has_its_line_in_the_runbook_and_each_line_its_alert() {
    let alerts = read("deploy/prometheus/alerts.yaml");
    let named: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in &named {
        let anchor = format!("runbook: docs/runbook.md#{}", name.to_lowercase());
        assert!(alerts.lines().any(|line| line.trim() == anchor), "{name} names no line of the runbook");
    }
    let runbook = read("docs/runbook.md");
    let explained: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|line| line.starts_with("Scrip"))
        .collect();
    assert_eq!(explained, named.into_iter().collect());
}

#[test]
fn alerts_fire_as_their_tests_say_and_every_query_can_be_read() {
    if postgres::on_path("promtool").is_none() {
        return say_not_run("promtool is not here: install Debian's prometheus");
    }
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(root()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    };
    promtool(&["check", "rules", "deploy/prometheus/alerts.yaml"]);
    promtool(&["test", "rules", "deploy/prometheus/alerts_test.yaml"]);
    // It reads queries of rules alone: so each query of a dashboard becomes one.
    let mut rules = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
    for (number, query) in dashboards().iter().flat_map(|path| queries(path)).enumerate() {
        let expression = query.expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        rules.push_str(&format!(
            "      - record: query:{number}\n        expr: '{}'\n",
            expression.replace('\'', "''")
        ));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dashboards.yaml");
    std::fs::write(&path, rules).unwrap();
    promtool(&["check", "rules", path.to_str().unwrap()]);
}
