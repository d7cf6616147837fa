//! The tables on a terminal.

use std::borrow::Borrow;
use std::cell::Cell;
use std::rc::Rc;

use scrip::audit::{Finding, Language, Rule};
use scrip::report::{Colour, Format, Gaps, Options, render};
use unicode_width::UnicodeWidthStr;

use super::{golden, options, print, sample};

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
        for raw in ["_nano_usd", "_micros", "_bp ", "_time ", "_id ", "_ids ", "net_points"] {
            assert!(!text.contains(raw), "{raw} has no name");
        }
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
fn very_long_names_are_cut_and_no_line_is_wider_than_the_terminal() {
    let mut world = sample::small();
    let long = "很长的模型名字/".repeat(40);
    world.accounts[0].name = "an-account-whose-name-does-not-end-".repeat(9).into();
    world.billed("long", 7, &long, 1, (100, 10_000_000));
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

/// A finding that is counted while somebody holds it.
struct Counted(Finding, Rc<Cell<usize>>);

impl Borrow<Finding> for Counted {
    fn borrow(&self) -> &Finding {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
}

#[test]
fn however_many_findings_come_no_more_than_twice_those_shown_are_held() {
    let (report, findings) = sample::small().audit();
    for (format, most) in [(Format::Table, 101), (Format::Html, 101), (Format::Json, 1), (Format::Csv, 1)] {
        let (held, peak) = (Rc::new(Cell::new(0)), Cell::new(0));
        let many = findings.iter().cycle().take(10_000).map(|finding| {
            held.set(held.get() + 1);
            peak.set(peak.get().max(held.get()));
            Counted(finding.clone(), Rc::clone(&held))
        });
        let options = Options { max_findings: 50, ..options(format, Language::English) };
        render(&report, &Gaps::default(), many, &options, &mut std::io::sink()).expect("written");
        assert_eq!((peak.get(), held.get()), (most, 0), "{}", format.as_str());
    }
}
