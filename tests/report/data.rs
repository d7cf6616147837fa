//! JSON and CSV.

use scrip::audit::Language;
use scrip::report::Format;

use super::{golden, options, print, sample};

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
