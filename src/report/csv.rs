//! The report as CSV (RFC 4180, UTF-8 without a mark): one table whose first column, `section`, tells what a record is
//! of, and whose columns are those of all sections together. Columns that a section has nothing for are empty.
//!
//! A spreadsheet would run a text that begins like a formula: such a text gets a `'` before it. Numbers are whole, in
//! the unit that their column's name ends with, and stay as they are.

use std::borrow::Borrow;
use std::io::{self, Write};

use super::figures::{self, rfc3339};
use super::{Gaps, NotFetched, Options};
use crate::audit::report::{CellSums, EventSums, TaskSums, WorkspaceRow};
use crate::audit::{Finding, Rate, Report};

/// The columns, in their order, which is part of the format: new ones go to the end.
macro_rules! columns {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        #[derive(Clone, Copy)]
        enum Column { $($variant),+ }

        const COLUMNS: &[&str] = &[$($name),+];
    };
}

columns! {
    Section = "section",
    Workspace = "workspace",
    Account = "account",
    AccountId = "account_id",
    UserId = "user_id",
    TaskId = "task_id",
    OnlineTaskId = "online_task_id",
    Model = "model",
    Day = "day",
    StartTime = "start_time",
    EndTime = "end_time",
    EvidenceTime = "evidence_time",
    FirstDay = "first_day",
    LastDay = "last_day",
    PointsPerUsd = "points_per_usd",
    FenPerUsd = "fen_per_usd",
    Complete = "complete",
    Ok = "ok",
    Unit = "unit",
    UnitsNano = "units_nano",
    Tasks = "tasks",
    WithoutCost = "without_cost",
    PendingTasks = "pending_tasks",
    UnjudgedTasks = "unjudged_tasks",
    Events = "events",
    RepeatedEvents = "repeated_events",
    StrayRequests = "stray_requests",
    Users = "users",
    UsersNotOk = "users_not_ok",
    Findings = "findings",
    Charged = "charged_points",
    Refunded = "refunded_points",
    Net = "net_points",
    PointsConsumed = "points_consumed",
    CashConsumed = "cash_consumed",
    Consumed = "consumed_points",
    LedgerRefunded = "ledger_refunded_points",
    Credited = "credited_points",
    Difference = "difference_points",
    Balance = "balance_nano_usd",
    Official = "official_cost_nano_usd",
    Usage = "usage_nano_usd",
    EventsCost = "events_nano_usd",
    Stray = "stray_nano_usd",
    Billed = "billed_nano_usd",
    Recorded = "recorded_nano_usd",
    Reported = "reported_nano_usd",
    Cost = "cost_nano_usd",
    RevenueQuoted = "revenue_at_points_per_usd_nano_usd",
    Revenue = "revenue_at_fen_per_usd_nano_usd",
    Margin = "margin_at_fen_per_usd_nano_usd",
    Rule = "rule",
    Severity = "severity",
    Message = "message",
    Evidence = "evidence",
    State = "state",
    UnlistedDisagreements = "unlisted_disagreements",
    Source = "source",
    Reason = "reason",
    HttpStatus = "http_status",
}

/// One record as it is filled in.
struct Record(Vec<String>);

impl Record {
    fn of(section: &str) -> Self {
        let mut record = Self(vec![String::new(); COLUMNS.len()]);
        record.put(Column::Section, section.to_owned());
        record
    }

    fn put(&mut self, column: Column, field: String) {
        if let Some(place) = self.0.get_mut(column as usize) {
            *place = field;
        }
    }

    /// A text that others wrote.
    fn text(mut self, column: Column, text: &str) -> Self {
        self.put(column, quoted(&harmless(text)));
        self
    }

    fn number(mut self, column: Column, number: impl Into<i128>) -> Self {
        self.put(column, number.into().to_string());
        self
    }

    fn optional(self, column: Column, number: Option<impl Into<i128>>) -> Self {
        match number {
            Some(number) => self.number(column, number),
            None => self,
        }
    }

    fn flag(mut self, column: Column, flag: bool) -> Self {
        self.put(column, flag.to_string());
        self
    }

    fn events(self, events: &EventSums) -> Self {
        self.number(Column::Events, events.events).number(Column::EventsCost, events.cost_nano_usd)
    }

    fn cell(self, sums: &CellSums) -> Self {
        self.number(Column::Tasks, sums.tasks)
            .number(Column::Charged, sums.charged_points)
            .number(Column::Refunded, sums.refunded_points)
            .number(Column::Net, i128::from(sums.charged_points).saturating_sub(sums.refunded_points.into()))
            .number(Column::Cost, sums.cost_nano_usd)
            .number(Column::WithoutCost, sums.without_cost)
    }

    fn sums(self, sums: &TaskSums, report: &Report) -> Self {
        let (rates, net) = (&report.rates, sums.net_points());
        self.number(Column::Tasks, sums.tasks)
            .number(Column::Charged, sums.charged_points)
            .number(Column::Refunded, sums.refunded_points)
            .number(Column::Net, net)
            .number(Column::Cost, sums.cost_nano_usd)
            .number(Column::Billed, sums.billed_nano_usd)
            .number(Column::Reported, sums.reported_nano_usd)
            .number(Column::WithoutCost, sums.without_cost)
            .number(Column::RevenueQuoted, rates.points_per_usd.nano_usd(net))
            .number(Column::Revenue, rates.fen_per_usd.nano_usd(net))
            .number(Column::Margin, sums.margin_nano_usd(rates))
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(self.0.join(",").as_bytes())?;
        out.write_all(b"\r\n")
    }
}

/// A text that no spreadsheet takes for a formula. Leading spaces, and what only looks like `=`, are seen through.
fn harmless(text: &str) -> String {
    let first = text.trim_start_matches([' ', '\u{a0}', '\u{3000}']).chars().next();
    let runs = first.is_some_and(|c| "=+-@\t\r\n＝＋－＠".contains(c));
    if runs { format!("'{text}") } else { text.to_owned() }
}

/// A field of RFC 4180: in quotes where it holds a comma, a quote or the end of a line.
fn quoted(field: &str) -> String {
    let quotes = field.contains([',', '"', '\r', '\n']) || field.starts_with(' ') || field.ends_with(' ');
    if quotes { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

/// Writes the header and every record.
pub(super) fn write<F: Borrow<Finding>>(
    report: &Report,
    gaps: &Gaps,
    findings: impl IntoIterator<Item = F>,
    options: &Options,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(COLUMNS.join(",").as_bytes())?;
    out.write_all(b"\r\n")?;
    audit(report, gaps).write(out)?;
    for gap in &gaps.not_fetched {
        not_fetched(gap).write(out)?;
    }
    for row in &report.workspaces {
        workspace(row, out)?;
    }
    for row in &report.tasks {
        let record = Record::of("task").optional(Column::AccountId, row.account_id);
        let record = record.number(Column::UserId, row.user_id).text(Column::Model, &row.model);
        record.cell(&row.sums).write(out)?;
    }
    for row in &report.users {
        Record::of("user")
            .number(Column::UserId, row.user_id)
            .number(Column::Charged, row.charged_points)
            .number(Column::Refunded, row.refunded_points)
            .number(Column::PointsConsumed, row.points_consumed)
            .number(Column::CashConsumed, row.cash_consumed)
            .number(Column::Credited, row.credited_points)
            .number(Column::Difference, row.difference_points)
            .flag(Column::Ok, row.ok)
            .write(out)?;
    }
    for row in &report.days {
        let record = Record::of("day").text(Column::Day, &row.day.to_string());
        let record = record.sums(&row.sums, report).events(&row.events);
        let record = record.number(Column::Consumed, row.consumed_points);
        let record = record.number(Column::LedgerRefunded, row.refunded_points);
        record.number(Column::Credited, row.credited_points).write(out)?;
    }
    for row in &report.models {
        let record = Record::of("model").text(Column::Model, &row.model);
        record.sums(&row.sums, report).events(&row.events).write(out)?;
    }
    total(report).write(out)?;
    user_total(report).write(out)?;
    for (rule, count) in &report.findings.rules {
        let record = Record::of("rule").text(Column::Rule, rule.as_str());
        let record = record.text(Column::Severity, rule.severity().as_str());
        record.number(Column::Findings, *count).write(out)?;
    }
    for finding in findings {
        let finding = finding.borrow();
        self::finding(finding, &finding.message(options.language)).write(out)?;
    }
    Ok(())
}

fn audit(report: &Report, gaps: &Gaps) -> Record {
    let rate = |rate: Rate| figures::rate(rate);
    Record::of("audit")
        .text(Column::StartTime, &rfc3339(report.start))
        .text(Column::EndTime, &rfc3339(report.end))
        .text(Column::EvidenceTime, &rfc3339(report.now))
        .text(Column::FirstDay, &report.first_day.to_string())
        .text(Column::LastDay, &report.last_day.to_string())
        .text(Column::PointsPerUsd, &rate(report.rates.points_per_usd).replace(',', ""))
        .text(Column::FenPerUsd, &rate(report.rates.fen_per_usd).replace(',', ""))
        .text(Column::State, gaps.state())
        .number(Column::UnlistedDisagreements, gaps.unlisted_disagreements)
}

fn not_fetched(gap: &NotFetched) -> Record {
    Record::of("not_fetched")
        .text(Column::Workspace, &gap.workspace)
        .text(Column::Account, &gap.account)
        .number(Column::AccountId, gap.account_id)
        .text(Column::Message, &gap.message)
        .text(Column::Source, gap.source)
        .text(Column::Reason, gap.reason)
        .number(Column::HttpStatus, gap.http_status)
}

fn workspace(row: &WorkspaceRow, out: &mut impl Write) -> io::Result<()> {
    Record::of("workspace")
        .text(Column::Workspace, &row.workspace)
        .flag(Column::Complete, row.complete)
        .optional(Column::Balance, row.balance_nano_usd)
        .number(Column::Official, row.official_cost_nano_usd)
        .optional(Column::Usage, row.usage_nano_usd)
        .events(&row.events)
        .number(Column::StrayRequests, row.stray.requests)
        .number(Column::Stray, row.stray.cost_nano_usd)
        .number(Column::Billed, row.billed_nano_usd)
        .number(Column::Recorded, row.recorded_nano_usd)
        .write(out)?;
    let of = |section: &str| Record::of(section).text(Column::Workspace, &row.workspace);
    for account in &row.accounts {
        let record = of("account").number(Column::AccountId, account.account_id);
        record.text(Column::Account, &account.name).write(out)?;
    }
    for model in &row.models {
        let record = of("workspace_model").text(Column::Model, &model.model).events(&model.events);
        record.optional(Column::Usage, model.usage_nano_usd).write(out)?;
        for unit in &model.units {
            let record = of("unit").text(Column::Model, &model.model).text(Column::Unit, &unit.unit);
            record.number(Column::UnitsNano, unit.units_nano).write(out)?;
        }
    }
    Ok(())
}

fn total(report: &Report) -> Record {
    let totals = &report.totals;
    Record::of("total")
        .sums(&totals.sums, report)
        .events(&totals.events)
        .number(Column::PendingTasks, totals.pending_tasks)
        .number(Column::UnjudgedTasks, totals.unjudged_tasks)
        .number(Column::Official, totals.official_cost_nano_usd)
        .number(Column::RepeatedEvents, totals.repeated_events)
        .number(Column::StrayRequests, totals.stray.requests)
        .number(Column::Stray, totals.stray.cost_nano_usd)
        .number(Column::Findings, report.findings.total())
}

/// Layer 3 is of whole users, so that its charges may be more than those of the tasks that the audit is about.
fn user_total(report: &Report) -> Record {
    let users = &report.totals.users;
    let consumed = users.points_consumed.saturating_add(users.cash_consumed);
    Record::of("user_total")
        .number(Column::Users, users.users)
        .number(Column::UsersNotOk, users.not_ok)
        .number(Column::Charged, users.charged_points)
        .number(Column::Refunded, users.refunded_points)
        .number(Column::PointsConsumed, users.points_consumed)
        .number(Column::CashConsumed, users.cash_consumed)
        .number(Column::Credited, users.credited_points)
        .number(Column::Difference, users.charged_points.saturating_sub(consumed))
        .flag(Column::Ok, users.not_ok == 0)
}

fn finding(finding: &Finding, message: &str) -> Record {
    let text = |text: &Option<crate::audit::Text>| text.as_deref().unwrap_or_default().to_owned();
    Record::of("finding")
        .text(Column::Rule, finding.rule.as_str())
        .text(Column::Severity, finding.severity.as_str())
        .text(Column::Workspace, &text(&finding.workspace))
        .optional(Column::AccountId, finding.account_id)
        .optional(Column::UserId, finding.user_id)
        .text(Column::TaskId, &text(&finding.task_id))
        .text(Column::OnlineTaskId, &text(&finding.online_task_id))
        .text(Column::Model, &text(&finding.app_name))
        .text(Column::Message, message)
        .text(Column::Evidence, &finding.evidence.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_a_spreadsheet_would_run_is_made_harmless() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u{3000}=1", "＝1"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["", "fal-ai/flux", "a=1", "1", "用户", "'=1", "{\"a\":1}"] {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
        assert_eq!(quoted("two\r\nlines"), "\"two\r\nlines\"");
        assert_eq!(quoted(" space"), "\" space\"");
    }

    #[test]
    fn a_negative_number_stays_a_number() {
        let record = Record::of("user").number(Column::Difference, -5_i64).text(Column::Model, "-5");
        assert_eq!(record.0[Column::Difference as usize], "-5");
        assert_eq!(record.0[Column::Model as usize], "'-5");
    }
}
