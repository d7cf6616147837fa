//! What people and programs are given of an audit, through the one door of the room: golden texts in both languages,
//! and what must hold of every report.
//!
//! After a wanted change of the texts: `SCRIP_UPDATE_GOLDEN=1 cargo test --test report`, and read the difference before
//! it is committed. The pages are written to the target directory (`tmp/audit-*.html`) to be looked at.

mod data;
mod page;
mod sample;
mod terminal;

use std::path::Path;

use scrip::audit::{Finding, Language, Report};
use scrip::report::{Format, Gaps, NotFetched, Options, render};

fn print(report: &Report, findings: &[Finding], options: &Options) -> String {
    print_with(report, &Gaps::default(), findings, options)
}

fn print_with(report: &Report, gaps: &Gaps, findings: &[Finding], options: &Options) -> String {
    let mut out = Vec::new();
    render(report, gaps, findings, options, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("UTF-8")
}

/// A run that could not fetch the usage of an account, and found more of the ledger wrong than it lists.
fn gaps() -> Gaps {
    Gaps {
        is_partial: true,
        not_fetched: vec![NotFetched {
            account_id: 3,
            account: "上海工作室".to_owned(),
            workspace: "=studio".to_owned(),
            source: "usage",
            reason: "UPSTREAM_DENIED",
            http_status: 403,
            message: "the key may not: it needs the admin scope".to_owned(),
        }],
        unlisted_disagreements: 1_234,
    }
}

fn options(format: Format, language: Language) -> Options {
    Options { format, language, width: Some(110), ..Options::default() }
}

/// Compares with a checked-in text, or writes it where told to.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/golden").join(name);
    if std::env::var_os("SCRIP_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("a writable tree");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(expected.lines()).find(|(have, want)| have != want);
    assert!(
        text == expected,
        "{name} differs first at {differs:?}; see the top of this file for how to update it"
    );
}

#[test]
fn an_empty_report_says_that_there_is_nothing_in_every_format() {
    let (report, findings) = sample::World::empty(1).audit();
    assert_eq!(findings, []);
    for language in Language::ALL {
        golden(
            &format!("empty.{language}.txt"),
            &print(&report, &findings, &options(Format::Table, *language)),
        );
        let page = print(&report, &findings, &options(Format::Html, *language));
        assert!(!page.contains("<svg") && page.contains("</html>"), "{page}");
        let records = print(&report, &findings, &options(Format::Csv, *language));
        let sections: Vec<&str> = records.lines().filter_map(|line| line.split(',').next()).collect();
        assert_eq!(sections, ["section", "audit", "total", "user_total"]);
    }
}

#[test]
fn a_report_that_lacks_something_says_what_and_does_not_say_that_the_money_agrees() {
    let (report, findings) = sound().audit();
    assert!(findings.is_empty() && report.workspaces.iter().all(|row| row.complete));
    for language in Language::ALL {
        let whole = print(&report, &findings, &options(Format::Table, *language));
        let table = print_with(&report, &gaps(), &findings, &options(Format::Table, *language));
        golden(&format!("partial.{language}.txt"), &table);
        let page = print_with(&report, &gaps(), &findings, &options(Format::Html, *language));
        let agrees = ["The money agrees", "账目一致"];
        for text in [&table, &page] {
            assert!(text.contains("UPSTREAM_DENIED") && text.contains("1,234"), "{text}");
            assert!(!agrees.iter().any(|agrees| text.contains(agrees)), "{text}");
        }
        assert!(agrees.iter().any(|agrees| whole.contains(agrees)), "{whole}");
    }
    let json = print_with(&report, &gaps(), &findings, &options(Format::Json, Language::English));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["state"], &json["unlisted_disagreements"]), (&"partial".into(), &1_234.into()));
    assert_eq!(json["not_fetched"][0]["account_id"], 3);
    assert_eq!(json["not_fetched"][0]["reason"], "UPSTREAM_DENIED");
    let csv = print_with(&report, &gaps(), &findings, &options(Format::Csv, Language::English));
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[1].ends_with(",partial,1234,,,"), "{}", lines[1]);
    assert!(lines[2].starts_with("not_fetched,'=studio,上海工作室,3,"), "{}", lines[2]);
    assert!(lines[2].ends_with(",,usage,UPSTREAM_DENIED,403"), "{}", lines[2]);
}

/// A world of one task of user 7 that was billed as it should be.
fn sound() -> sample::World {
    let mut world = sample::World::empty(1);
    world.account(1, "main", "acme", Some(9_000_000_000));
    world.billed("good", 7, "fal-ai/flux/dev", 1, (120, 90_240_000));
    world
}

#[test]
fn the_verdict_is_that_the_money_agrees_only_where_all_evidence_is_there_and_says_so() {
    let verdict = |change: fn(&mut sample::World)| {
        let mut world = sound();
        change(&mut world);
        let (report, findings) = world.audit();
        let page = print(&report, &findings, &options(Format::Html, Language::English));
        let text = print(&report, &findings, &options(Format::Table, Language::English));
        let verdict = text.lines().last().expect("a line").to_owned();
        assert!(page.contains(&format!("\">{verdict}</p>")), "the page says the same: {verdict}");
        verdict
    };
    assert_eq!(verdict(|_| {}), "The money agrees.");
    let missing = verdict(|world| world.accounts[0].fetch = scrip::audit::Fetch::Incomplete);
    assert_eq!(missing, "No disagreement found, but the evidence is not complete. Findings: 0.");
    let dry = verdict(|world| world.accounts[0].balance = Some((1, world.scope.now)));
    assert_eq!(dry, "The money agrees. Findings worth a look: 1.");
    let off = verdict(|world| world.off = vec![(7, 1)]);
    assert_eq!(off, "The money does not agree. Findings of high severity: 0, users that do not agree: 1.");
    let unbilled = verdict(|world| world.events.clear());
    assert_eq!(
        unbilled,
        "The money does not agree. Findings of high severity: 2, users that do not agree: 0."
    );
}

#[test]
fn points_are_valued_at_both_rates_and_costs_are_exact() {
    let (report, findings) = sound().audit();
    let text = print(&report, &findings, &Options::default());
    let money: Vec<&str> = text.lines().skip_while(|line| *line != "Money").collect();
    let row = |name: &str| -> Vec<&str> {
        let line = money.iter().find(|line| line.starts_with(name)).expect("a row");
        line[name.len()..].split_whitespace().collect()
    };
    assert_eq!(row("Net points charged"), ["120", "120"]);
    // 120 ÷ 400 and 120 ÷ 718.23; the cost to its last digit.
    assert_eq!(row("Revenue USD"), ["0.30", "0.1671"]);
    assert_eq!(row("Cost of the tasks USD"), ["0.09024", "0.09024"]);
    assert_eq!(row("Margin USD"), ["0.2098", "0.0768"]);
    assert_eq!(row("Margin of revenue"), ["69.9%", "46.0%"]);
    let json = print(&report, &findings, &options(Format::Json, Language::English));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["worth"][0]["revenue_nano_usd"], 300_000_000);
    assert_eq!(json["worth"][1]["revenue_nano_usd"], 167_077_399);
    assert_eq!(json["worth"][1]["margin_nano_usd"], 76_837_399);
}

#[test]
fn findings_may_be_borrowed_or_owned() {
    let (report, findings) = sample::small().audit();
    let mut out = Vec::new();
    render(&report, &Gaps::default(), findings.clone(), &Options::default(), &mut out).expect("written");
    assert_eq!(String::from_utf8(out).expect("UTF-8"), print(&report, &findings, &Options::default()));
}

#[test]
fn a_writer_that_fails_is_told() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (report, findings) = sample::small().audit();
    for format in Format::ALL {
        let options = options(*format, Language::English);
        let failure = render(&report, &Gaps::default(), &findings, &options, &mut Full)
            .expect_err("nothing was written");
        assert_eq!(failure.kind(), std::io::ErrorKind::StorageFull, "{}", format.as_str());
    }
}

#[test]
fn formats_are_known_by_their_names() {
    let names: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
    assert_eq!(names, ["table", "json", "csv", "html"]);
    assert!(Format::ALL.iter().all(|format| Format::parse(format.as_str()) == Some(*format)));
    assert_eq!(Format::parse("pdf"), None);
}
