//! `scrip demo`, `scrip audit` and `scrip usage` on the real binary.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::BufRead;

use serde_json::Value;
use sqlx::ConnectOptions;
use support::desk::Desk;

/// The demo's day.
const DAY: &str = "--start 2025-11-11 --end 2025-11-11";

#[test]
fn the_demo_finds_what_was_mixed_in_and_leaves_nothing_behind() {
    let desk = Desk::empty();
    let said = desk.run("demo");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    for rule in ["A2", "A3", "A5", "A6", "A7", "A8", "B1", "B2", "B3", "B5", "B6", "B7"] {
        let fired = said.out.lines().any(|line| {
            let mut words = line.split_whitespace();
            matches!(words.next(), Some("HIGH" | "MEDIUM" | "LOW")) && words.next() == Some(rule)
        });
        assert!(fired, "{rule} did not fire:\n{}", said.out);
    }
    assert!(said.out.contains("Layer 1") && said.out.contains("上海工作室"), "{}", said.out);
    assert!(said.out.contains("Try next:"), "{}", said.out);
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let excerpt = readme.split("```text\n").find(|part| part.starts_with("Layer 1")).expect("an excerpt");
    for line in excerpt.lines().take_while(|line| *line != "```").filter(|line| *line != "…") {
        assert!(
            said.out.lines().any(|printed| printed == line),
            "the README shows what is not printed: {line}"
        );
    }
    assert_eq!(std::fs::read_dir(desk.path("")).unwrap().count(), 0);
}

#[test]
fn the_same_seed_is_the_same_day_in_either_language() {
    let desk = Desk::empty();
    let (one, other) = (desk.run("demo --seed 3 --jobs 60"), desk.run("demo --seed 3 --jobs 60"));
    assert_eq!((one.code, &one.out), (0, &other.out));
    let chinese = desk.run("demo --seed 3 --jobs 60 --lang zh");
    assert_eq!(chinese.code, 0);
    assert!(chinese.out.contains("接下来可以试试"), "{}", chinese.out);
    let counts = |out: &str| out.lines().filter(|line| line.contains("B1 ") || line.contains("A3 ")).count();
    assert_eq!(counts(&one.out), counts(&chinese.out));
    let busy = desk.run("demo --jobs 5000");
    assert_eq!((busy.code, busy.err.as_str()), (0, ""));
}

#[test]
fn a_kept_demo_can_be_looked_around_in_and_its_page_stands_alone() {
    let desk = Desk::empty();
    let said = desk.run("demo --jobs 60 --keep kept --html audit.html");
    assert_eq!(said.code, 0, "{said:?}");
    let page = std::fs::read_to_string(desk.path("audit.html")).unwrap();
    assert!(
        page.contains("<svg") && page.ends_with("</html>\n") && !page.contains("src=\"http"),
        "{}",
        page.len()
    );
    let url = "--database-url sqlite://kept/scrip.db";
    let verify = desk.run(&format!("verify {url}"));
    assert_eq!(verify.code, 0, "{verify:?}");
    let keys = desk.run(&format!("keys list {url}"));
    assert_eq!(keys.code, 0, "{keys:?}");
    desk.run("demo --keep kept").refused_with(2, &["kept", "there already"]);

    // fal is gone: nothing is silently complete. Port 1 answers nobody.
    let fal = "--fal-base-url http://127.0.0.1:1/v1 --fal-allow-loopback";
    let audit = desk.run(&format!("audit {DAY} {url} {fal} --format json --ids 3"));
    assert_eq!(audit.code, 2, "{audit:?}");
    assert!(audit.err.contains("not fetched: account 3 (上海工作室), billing events"), "{}", audit.err);
    let report: Value = serde_json::from_str(&audit.out).unwrap();
    assert!(report.is_object());
    let usage = desk.run(&format!("usage {DAY} {url} {fal}"));
    usage.refused_with(2, &["account"]);
}

#[test]
fn an_audit_of_books_without_accounts_agrees_and_each_format_is_written() {
    let desk = Desk::empty();
    assert_eq!(desk.run("migrate").code, 0);
    assert_eq!(desk.run("credit 7 500 --purse points --request-id r1").code, 0);
    let audit = desk.run("audit");
    assert_eq!((audit.code, audit.err.as_str()), (0, ""), "{audit:?}");
    assert!(audit.out.contains("Layer 3"), "{}", audit.out);
    let chinese = desk.run("audit --lang zh");
    assert!(chinese.code == 0 && !chinese.out.contains("Layer 3"), "{}", chinese.out);
    for format in ["json", "csv", "html"] {
        let said = desk.run(&format!("audit --format {format} --output report.{format}"));
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{format}: {said:?}");
        assert!(
            std::fs::read_to_string(desk.path(&format!("report.{format}"))).unwrap().len() > 100,
            "{format}"
        );
    }
    let usage = desk.run("usage");
    assert_eq!((usage.code, usage.out.trim()), (0, "All accounts: 0.00 USD"));
}

#[test]
fn what_cannot_be_audited_is_said_before_anything_is_begun() {
    let desk = Desk::empty();
    desk.run("audit").refused_with(2, &["scrip.db"]);
    assert_eq!(desk.run("migrate").code, 0);
    desk.run("audit --start 2026-02-02 --end 2026-02-01").refused_with(2, &["--end must be after --start"]);
    desk.run("audit --start 2024-01-01 --end 2025-06-01").refused_with(2, &["366 days"]);
    desk.run("audit --start 2199-01-01").refused_with(2, &["future"]);
    desk.run("audit --ids 4").refused_with(2, &["account 4"]);
    desk.run("audit --timezone Nowhere/Land").refused_with(2, &["timezone", "Nowhere/Land"]);
    desk.run("audit --spike-active-days 8").refused_with(2, &["spike-active-days", "spike-window"]);
    desk.run("audit --output missing/report.html").refused_with(2, &["missing"]);
    desk.run("audit --fal-base-url http://127.0.0.1:1/v1").refused_with(2, &["fal-base-url"]);
    for wrong in [
        "audit --start yesterday",
        "audit --points-per-usd 0",
        "audit --ids x",
        "audit --format pdf",
        "audit --cost-gap 10%",
    ] {
        assert_eq!(desk.run(wrong).code, 2, "{wrong}");
    }
    assert_eq!(
        desk.run("audit --start 2025-11-11 --end 2025-11-11 --timezone Asia/Shanghai --fen-per-usd 718.23")
            .code,
        0
    );
}

/// A signal to a command that waits for a fal which never answers.
fn stopped_by(signal: &str) -> (Desk, i32, String) {
    let desk = Desk::empty();
    assert_eq!(desk.run("demo --jobs 60 --keep kept").code, 0);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fal = format!("http://{}/v1", silent.local_addr().unwrap());
    let url = format!("sqlite://{}", desk.path("kept/scrip.db").display());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scrip"));
    let child = command
        .args(["audit", "--start", "2025-11-11", "--end", "2025-11-11", "--apply-costs"])
        .args(["--database-url", &url, "--fal-base-url", &fal, "--fal-allow-loopback"])
        .current_dir(desk.path(""))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun once it asks.
    let _asked = silent.accept().unwrap();
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "");
    (desk, ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
}

#[tokio::test]
async fn an_audit_that_is_stopped_ends_its_run_and_gives_its_turn_back() {
    for (signal, name, code) in [("-INT", "SIGINT", 130), ("-TERM", "SIGTERM", 143)] {
        let (desk, ended, said) = stopped_by(signal);
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(&format!("stopped by {name}: reconciliation 2 is ended as FAILED")), "{said}");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(desk.path("kept/scrip.db"));
        let mut connection = options.connect().await.unwrap();
        let held = "SELECT count(*) FROM scrip_leader_leases";
        let held: i64 = sqlx::query_scalar(held).fetch_one(&mut connection).await.unwrap();
        assert_eq!(held, 0, "whoever is next has not to wait");
    }
}

#[test]
fn an_audit_that_could_not_fetch_all_says_so_in_its_report() {
    let desk = Desk::empty();
    assert_eq!(desk.run("demo --jobs 60 --keep kept").code, 0);
    let away = "--fal-base-url http://127.0.0.1:1/v1 --fal-allow-loopback";
    let url = format!("sqlite://{}", desk.path("kept/scrip.db").display());
    let audited = desk.run(&format!("audit {DAY} --ids 4 --database-url {url} {away} --format json"));
    let report: Value = serde_json::from_str(&audited.out).unwrap();
    assert_eq!((audited.code, &report["state"]), (2, &Value::from("partial")));
    assert_eq!(report["not_fetched"][0]["reason"], "UPSTREAM_UNAVAILABLE");
}

#[test]
fn an_audit_that_waits_for_another_ones_turn_says_so() {
    let desk = Desk::empty();
    assert_eq!(desk.run("demo --jobs 60 --keep kept").code, 0);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fal = format!("http://{}/v1", silent.local_addr().unwrap());
    let url = format!("sqlite://{}", desk.path("kept/scrip.db").display());
    let audit = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_scrip"))
            .args(["audit", "--start", "2025-11-11", "--end", "2025-11-11", "--database-url", &url])
            .args(["--fal-base-url", &fal, "--fal-allow-loopback"])
            .current_dir(desk.path(""))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let stop = |child: std::process::Child| {
        assert!(
            std::process::Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130));
        String::from_utf8(ended.stderr).unwrap()
    };
    let first = audit();
    let _asked = silent.accept().unwrap();
    let mut second = audit();
    let mut lines = std::io::BufReader::new(second.stderr.take().unwrap()).lines();
    let is_it = |line: &String| line.contains("waiting: another process works at a reconciliation.");
    assert!(lines.by_ref().map_while(Result::ok).any(|line| is_it(&line)), "it ended without a word of it");
    stop(second);
    assert!(!stop(first).contains("waiting"));
}
