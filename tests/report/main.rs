//! What people and programs are given of an audit, through the one door of the room: golden texts in both languages,
//! and what must hold of every report.
//!
//! After a wanted change of the texts: `SCRIP_UPDATE_GOLDEN=1 cargo test --test report`, and read the difference before
//! it is committed. The pages are written to the target directory (`tmp/audit-*.html`) to be looked at.

mod sample;

use std::path::Path;

use scrip::audit::{Finding, Language, Report, Rule};
use scrip::report::{Colour, Format, Options, render};
use unicode_width::UnicodeWidthStr;

fn print(report: &Report, findings: &[Finding], options: &Options) -> String {
    let mut out = Vec::new();
    render(report, findings, options, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("UTF-8")
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

/// The lines of each table of a terminal report: those from a title row to the first line that is narrower or ends it.
fn tables<'a>(text: &'a str, headings: [&str; 4]) -> Vec<Vec<&'a str>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut tables = Vec::new();
    for heading in headings {
        let at = lines.iter().position(|line| *line == heading).expect("a heading");
        let table = lines[at + 1..].iter().take_while(|line| !line.is_empty()).copied();
        tables.push(table.collect());
    }
    tables
}

const HEADINGS: [(Language, [&str; 4]); 2] = [
    (
        Language::English,
        ["Layer 1: what fal billed", "Layer 2: what the tasks say", "Layer 3: what the users paid", "Money"],
    ),
    (Language::Chinese, ["第一层：fal 的计费", "第二层：任务的记录", "第三层：用户的支付", "收支"]),
];

#[test]
fn the_terminal_report_is_the_golden_one_in_both_languages() {
    let (report, findings) = sample::small().audit();
    for language in Language::ALL {
        let text = print(&report, &findings, &options(Format::Table, *language));
        golden(&format!("audit.{language}.txt"), &text);
        assert!(!text.contains('\u{1b}'), "no colour unless told to");
    }
}

#[test]
fn every_line_of_a_table_is_equally_wide_in_both_languages() {
    for (report, findings) in [sample::small().audit(), sample::month().audit()] {
        for (language, headings) in HEADINGS {
            let text = print(&report, &findings, &options(Format::Table, language));
            for table in tables(&text, headings) {
                // Sentences about a table follow it: they end with a full stop.
                let rows: Vec<&&str> = table.iter().filter(|line| !line.ends_with(['.', '。'])).collect();
                let width = rows[0].width();
                assert!(rows.len() > 1, "{table:?}");
                for row in rows {
                    assert_eq!(row.width(), width, "{row}");
                }
            }
        }
    }
}

#[test]
fn colour_adds_escapes_and_nothing_else() {
    let (report, findings) = sample::small().audit();
    for language in Language::ALL {
        let plain = options(Format::Table, *language);
        let coloured = Options { colour: Colour::Ansi, ..plain.clone() };
        let text = print(&report, &findings, &coloured);
        assert!(text.contains("\u{1b}[1;31m") && text.contains("\u{1b}[32m"), "{text}");
        let mut bare = String::new();
        for (at, part) in text.split('\u{1b}').enumerate() {
            bare.push_str(if at == 0 { part } else { part.split_once('m').expect("an escape ends").1 });
        }
        assert_eq!(bare, print(&report, &findings, &plain));
    }
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
fn very_long_names_are_cut_and_no_line_is_wider_than_the_terminal() {
    let mut world = sample::small();
    let long = "很长的模型名字/".repeat(40);
    world.accounts[0].name = "an-account-whose-name-does-not-end-".repeat(9).into();
    world.billed("long", 7, &long, 1, 100, 10_000_000);
    let (report, findings) = world.audit();
    for (width, language) in [(110, Language::English), (110, Language::Chinese), (96, Language::English)] {
        let text =
            print(&report, &findings, &Options { width: Some(width), ..options(Format::Table, language) });
        for line in text.lines() {
            assert!(line.width() <= width, "{} columns: {line}", line.width());
        }
        assert!(text.contains(".."), "{text}");
    }
    // Without a terminal there is no width, and still no line without end.
    let text = print(&report, &findings, &Options { width: None, ..Options::default() });
    assert!(text.lines().all(|line| line.width() <= 200), "{text}");
}

#[test]
fn the_worst_findings_are_shown_and_the_rest_is_counted() {
    let (report, findings) = sample::month().audit();
    let high = findings.iter().filter(|finding| finding.rule == Rule::A3).count();
    assert!(high > 3 && findings.len() > 20, "{} findings", findings.len());
    let few = Options { max_findings: 3, max_rows: 2, ..Options::default() };
    let backwards: Vec<Finding> = findings.iter().rev().cloned().collect();
    let text = print(&report, &findings, &few);
    assert_eq!(print(&report, &backwards, &few), text, "the order in which they come decides nothing");
    let left_out = findings.len() - 3;
    assert!(text.contains(&format!("\nFindings not shown: {left_out}. ")), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("HIGH    A") && line.len() > 30).count(),
        3,
        "{text}"
    );
    assert!(text.contains(&format!("Rows not shown: {}.", report.tasks.len() - 2)), "{text}");
    // Given a part of them only, it still knows how many there are.
    let part = print(&report, &findings[..2], &few);
    assert!(part.contains(&format!("\nFindings not shown: {}. ", findings.len() - 2)), "{part}");
    // A row that does not agree is not among those left out.
    assert!(text.lines().any(|line| line.ends_with("NOT OK") && !line.starts_with("Total")), "{text}");
}

#[test]
fn findings_may_be_borrowed_or_owned() {
    let (report, findings) = sample::small().audit();
    let mut out = Vec::new();
    render(&report, findings.clone(), &Options::default(), &mut out).expect("written");
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
        let failure = render(&report, &findings, &options, &mut Full).expect_err("nothing was written");
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

/// Every path of a JSON value; the items of a list have one.
fn paths(value: &serde_json::Value, at: &str, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                paths(value, &format!("{at}.{name}"), found);
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().for_each(|item| paths(item, &format!("{at}[]"), found))
        }
        leaf => {
            let kind = match leaf {
                serde_json::Value::Null => "null",
                serde_json::Value::Bool(_) => "bool",
                serde_json::Value::Number(number) if number.to_string().contains(['.', 'e', 'E']) => "float",
                serde_json::Value::Number(_) => "integer",
                _ => "string",
            };
            found.insert(format!("{at} {kind}"));
        }
    }
}

#[test]
fn the_names_of_the_json_are_the_golden_ones_and_every_number_is_an_integer() {
    let (report, findings) = sample::small().audit();
    let text = print(&report, &findings, &options(Format::Json, Language::Chinese));
    assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut found = std::collections::BTreeSet::new();
    paths(&value, "", &mut found);
    assert!(!found.iter().any(|path| path.ends_with("float")), "{found:?}");
    let found: Vec<String> = found.into_iter().collect();
    golden("json-names.txt", &format!("{}\n", found.join("\n")));
    assert_eq!(value["schema"], "scrip.audit.v1");
    assert_eq!(value["start_time"], "2026-02-01T00:00:00Z");
    assert_eq!(value["findings"].as_array().map(Vec::len), Some(findings.len()));
    assert_eq!(value["findings_left_out"], 0);
    assert_eq!(value["findings"][0]["message"], findings[0].message(Language::Chinese));
    let cost = &value["report"]["totals"]["sums"]["cost_nano_usd"];
    assert_eq!(cost.to_string(), report.totals.sums.cost_nano_usd.to_string());
}

#[test]
fn json_counts_what_it_was_not_given() {
    let (report, findings) = sample::small().audit();
    let text = print(&report, &findings[1..], &options(Format::Json, Language::English));
    assert!(text.ends_with("\"findings_left_out\":1}\n"), "{text}");
}

/// Reads CSV as RFC 4180 says; the fields of each record.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = vec![vec![String::new()]];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let record = records.last_mut().expect("one at least");
        let field = record.last_mut().expect("one at least");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                records.push(vec![String::new()]);
            }
            c => field.push(c),
        }
    }
    assert_eq!(records.pop(), Some(vec![String::new()]), "the last record ends as well");
    records
}

#[test]
fn csv_is_one_table_that_no_spreadsheet_runs() {
    let mut world = sample::small();
    world.accounts[1].name = "two\r\nlines, \"quoted\"".into();
    let (report, findings) = world.audit();
    let text = print(&report, &findings, &options(Format::Csv, Language::English));
    let records = records(&text);
    golden("csv-columns.txt", &format!("{}\n", records[0].join("\n")));
    let column = |name: &str| records[0].iter().position(|have| have == name).expect("a column");
    for record in &records {
        assert_eq!(record.len(), records[0].len(), "{record:?}");
        for field in record {
            let number = field.parse::<i128>().is_ok();
            assert!(number || !field.starts_with(['=', '+', '-', '@', '\t', '\r']), "{field}");
        }
    }
    let of = |section: &str| records.iter().filter(|record| record[0] == section).collect::<Vec<_>>();
    assert_eq!(of("finding").len(), findings.len());
    assert_eq!(of("task").len(), report.tasks.len());
    assert_eq!(of("user").len(), report.users.len());
    assert_eq!(of("workspace").len(), report.workspaces.len());
    let accounts = of("account");
    assert!(accounts.iter().any(|record| record[column("account")] == "two\r\nlines, \"quoted\""));
    let cost: i128 =
        of("task").iter().map(|record| record[column("cost_nano_usd")].parse::<i128>().expect("whole")).sum();
    assert_eq!(cost, report.totals.sums.cost_nano_usd);
    let off = of("user").into_iter().find(|record| record[column("ok")] == "false").expect("user 8 is off");
    assert_eq!((off[column("user_id")].as_str(), off[column("difference_points")].as_str()), ("8", "50"));
    let evidence = &of("finding")[0][column("evidence")];
    assert!(serde_json::from_str::<serde_json::Value>(evidence).is_ok(), "{evidence}");
}

#[test]
fn the_page_escapes_what_others_wrote_and_needs_nothing_from_elsewhere() {
    let mut world = sample::small();
    world.accounts[0].name = "\"><img src=x onerror=alert(1)>'&".into();
    let (report, findings) = world.audit();
    for language in Language::ALL {
        let page = print(&report, &findings, &options(Format::Html, *language));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "a model's name is text");
        assert!(
            page.contains("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&amp;"),
            "so is an account's"
        );
        for forbidden in ["<script", "<img", "<link", "<iframe", "url(", "@import", "src=\"", "href="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(!page.replace("http://evil", "").contains("http://") && !page.contains("https://"));
        let tag = if *language == Language::Chinese { "zh-CN" } else { "en" };
        assert!(page.starts_with(&format!("<!DOCTYPE html>\n<html lang=\"{tag}\">")), "{tag}");
    }
}

/// Every element of the body that is opened is closed, in order.
fn assert_balanced(page: &str) {
    let mut open = Vec::new();
    let body = page.split_once("<body>").and_then(|(_, body)| body.split_once("</body>")).expect("a body").0;
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split(' ').next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') && name != "br" {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_has_the_tables_the_charts_and_the_findings() {
    let worlds = [("small", sample::small()), ("month", sample::month()), ("empty", sample::World::empty(1))];
    for (name, world) in worlds {
        let (report, findings) = world.audit();
        for language in Language::ALL {
            let page = print(&report, &findings, &options(Format::Html, *language));
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audit-{name}.{language}.html"));
            std::fs::write(&path, &page).expect("a writable target directory");
            let charts = if report.totals.sums.tasks > 0 { 4 } else { 0 };
            assert_eq!(page.matches("<svg").count(), charts, "{name}");
            let shown = findings.len().min(Options::default().max_findings);
            assert_eq!(page.matches("<li>").count(), shown, "{name}");
            assert_eq!(page.matches("<section").count(), 5, "{name}");
        }
    }
}

#[test]
fn every_element_of_the_page_is_closed() {
    let (report, findings) = sample::small().audit();
    assert_balanced(&print(&report, &findings, &options(Format::Html, Language::English)));
}

#[test]
fn a_long_period_is_drawn_by_weeks() {
    let mut world = sample::small();
    world.scope.end = world.scope.start.plus(200 * sample::DAY);
    world.scope.now = world.scope.end;
    world.scope.events_end = world.scope.end;
    let (report, findings) = world.audit();
    let page = print(&report, &findings, &options(Format::Html, Language::English));
    assert!(page.contains("in each seven days"), "{page}");
    assert_eq!(page.matches("class=\"touch\"").count(), 200_usize.div_ceil(7));
}
