//! `scrip keys show`: one account, and what was changed of it last.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::super::failure::Failure;
use super::super::output::{Out, Side, Table, moment, moment_short};
use super::super::session::{Prepare, close, open};
use super::account::{AccountRow, Shown};
use super::change::unknown;
use crate::config::{DatabaseArgs, Format, FormatArgs};
use crate::keypool::AccountId;
use crate::store::{AuditRecord, Page};

/// Lines of the audit log that are shown.
const LINES: u32 = 20;

/// Show an account and the newest lines of its audit log
///
/// The log has every change: those of operators, and those that the pool makes by itself (actor keypool).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip keys show 7\n  \
    scrip keys show 7 --format json | jq .audit_log")]
pub(super) struct ShowArgs {
    /// The account: `scrip keys list` shows it
    #[arg(value_name = "ACCOUNT_ID", value_parser = clap::value_parser!(i64).range(1..))]
    account_id: AccountId,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Serialize)]
struct ShownRow<'a> {
    #[serde(flatten)]
    account: AccountRow<'a>,
    audit_log: Vec<LineRow<'a>>,
}

#[derive(Serialize)]
struct LineRow<'a> {
    time: String,
    actor: &'a str,
    subject_kind: &'a str,
    subject: &'a str,
    /// `[before, after]` by field.
    changes: serde_json::Value,
    reason: &'a str,
}

pub(super) async fn run(args: ShowArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let store = open(&args.database.database_url, Prepare::Nothing).await?;
    let reader = store.reader();
    let now = reader.now().await?;
    let found = reader.accounts(&[args.account_id]).await?;
    let record = found.first().ok_or_else(|| unknown(args.account_id))?;
    let log = reader.audit_log(Some(args.account_id), Page { before: None, limit: LINES }).await?;
    close(&*store).await;
    let shown = Shown::record(record, now);
    if args.format.format == Format::Json {
        let audit_log = log.iter().map(LineRow::new).collect();
        out.json(&ShownRow { account: shown.row(), audit_log })?;
        return Ok(ExitCode::SUCCESS);
    }
    shown.print(out, Format::Table)?;
    if !log.is_empty() {
        let columns = [
            ("TIME", Side::Left, 0),
            ("ACTOR", Side::Left, 0),
            ("CHANGED", Side::Left, 0),
            ("REASON", Side::Left, 0),
        ];
        let rows: Vec<Vec<String>> = log.iter().map(cells).collect();
        out.line("")?;
        Table::new(&columns).print(out, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> LineRow<'a> {
    fn new(line: &'a AuditRecord) -> Self {
        Self {
            time: moment(line.time),
            actor: &line.actor,
            subject_kind: &line.subject_kind,
            subject: &line.subject,
            changes: serde_json::from_str(&line.changes).unwrap_or_default(),
            reason: &line.reason,
        }
    }
}

fn cells(line: &AuditRecord) -> Vec<String> {
    let of = if &*line.subject_kind == "account" {
        String::new()
    } else {
        format!("{} {}: ", line.subject_kind, line.subject)
    };
    let changed = format!("{of}{}", changes_in_words(&line.changes));
    vec![moment_short(line.time), line.actor.to_string(), changed, line.reason.to_string()]
}

/// `status enabled → disabled, weight 100 → 50`, from the JSON of `[before, after]` by field.
fn changes_in_words(json: &str) -> String {
    let Ok(fields) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) else {
        return json.to_owned();
    };
    let words = fields.iter().map(|(field, change)| {
        let side = |at: usize| change.get(at).and_then(|side| side.as_str()).unwrap_or_default();
        match (side(0), side(1)) {
            ("", after) => format!("{field} {after}"),
            (before, "") => format!("{field} {before} → none"),
            (before, after) => format!("{field} {before} → {after}"),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Micros;

    #[test]
    fn a_line_says_what_changed_from_what_to_what() {
        let json = r#"{"status":["enabled","disabled"],"remark":["","new"],"key_id":["a",""]}"#;
        let words = changes_in_words(json);
        for part in ["status enabled → disabled", "remark new", "key_id a → none"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert_eq!(
            (changes_in_words("{}"), changes_in_words("not json")),
            (String::new(), "not json".to_owned())
        );
    }

    #[test]
    fn a_line_about_a_workspace_names_it() {
        let line = AuditRecord {
            id: 1,
            time: Micros(0),
            actor: "keypool".into(),
            subject_kind: "workspace".into(),
            subject: "team".into(),
            account_id: 7,
            reason: "locked".into(),
            changes: r#"{"out":["none","account_locked"]}"#.into(),
        };
        let expected =
            ["1970-01-01T00:00:00Z", "keypool", "workspace team: out none → account_locked", "locked"];
        assert_eq!(cells(&line), expected);
    }
}
