//! Reconciliation as it is answered: runs, rows, findings, progress and usage become messages.
//!
//! Sums are exact in the report and `int64` on the wire: one beyond its range is held at its end.

use super::time::timestamp;
use crate::audit::report::{
    AccountRow, CellSums, Counts, DayRow, EventSums, ModelRow, StraySums, TaskRow, TaskSums, Totals, UserRow,
    WorkspaceModelRow, WorkspaceRow,
};
use crate::audit::{Language, Rate, Rule, Severity};
use crate::ledger::Text;
use crate::pb;
use crate::reconcile::{
    Failure, FindingRow, Glimpse, Phase, Reason, ReportRow, Run, RunState, Settings, Source, Summary,
    UsageAnswer, UsageLine,
};

/// A run without its rows.
pub(in crate::api) fn run(run: &Run) -> pb::Reconciliation {
    let summary = Summary::from_json(&run.summary);
    let rates = Settings::from_json(&run.settings).unwrap_or_default().rates;
    let is_over = matches!(run.state, RunState::Completed | RunState::Partial);
    let counts = summary.as_ref().map(|summary| &summary.report.findings);
    pb::Reconciliation {
        reconciliation_id: run.id,
        state: state(run.state).into(),
        start_time: Some(timestamp(run.start)),
        end_time: Some(timestamp(run.end)),
        account_ids: run.account_ids.clone(),
        user_ids: run.user_ids.clone(),
        apply_costs: run.apply_costs,
        create_time: Some(timestamp(run.create_time)),
        complete_time: run.complete_time.map(timestamp),
        evidence_time: run.evidence_time.map(timestamp),
        error: run.error.to_string(),
        account_errors: summary.iter().flat_map(|summary| &summary.failures).map(failure).collect(),
        points_per_usd: decimal_rate(rates.points_per_usd),
        fen_per_usd: decimal_rate(rates.fen_per_usd),
        totals: summary.as_ref().filter(|_| is_over).map(|summary| totals(&summary.report.totals)),
        finding_counts: Some(finding_counts(run, counts)),
        cost_changes: run.cost_changes,
        costs_applied: run.costs_applied,
        unlisted_disagreements: summary
            .as_ref()
            .map_or(0, |summary| i64::try_from(summary.unlisted_disagreements).unwrap_or(i64::MAX)),
        ..pb::Reconciliation::default()
    }
}

/// Fills in what a run has once, however many rows it has: its days and models.
pub(in crate::api) fn days_and_models(summary: Option<&Summary>, message: &mut pb::Reconciliation) {
    let Some(Summary { report, .. }) = summary else { return };
    message.day_rows = report.days.iter().map(day_row).collect();
    message.model_rows = report.models.iter().map(model_row).collect();
}

/// Adds a row of one of the three layers; `None` for one that this version cannot read.
pub(in crate::api) fn add_row(row: &ReportRow, message: &mut pb::Reconciliation) -> Option<()> {
    match row.layer {
        1 => message.workspace_rows.push(workspace_row(&serde_json::from_str(&row.content).ok()?)),
        2 => message.task_rows.push(task_row(&serde_json::from_str(&row.content).ok()?)),
        _ => message.user_rows.push(user_row(&serde_json::from_str(&row.content).ok()?)),
    }
    Some(())
}

/// How a run goes.
pub(in crate::api) fn progress(seen: &Glimpse) -> pb::WatchReconciliationResponse {
    let phase = match seen.progress.phase {
        Phase::Fetching => pb::ReconciliationPhase::Fetching,
        Phase::Matching => pb::ReconciliationPhase::Matching,
        Phase::Checking => pb::ReconciliationPhase::Checking,
        Phase::Applying => pb::ReconciliationPhase::Applying,
        Phase::Over => pb::ReconciliationPhase::Over,
    };
    pb::WatchReconciliationResponse {
        state: state(seen.state).into(),
        phase: phase.into(),
        done: seen.progress.done,
        total: seen.progress.total,
        findings: seen.progress.findings.iter().fold(0, |sum: i64, found| sum.saturating_add(*found)),
    }
}

/// A finding of a run.
pub(in crate::api) fn finding(run_id: i64, row: &FindingRow) -> pb::Finding {
    let finding = &row.finding;
    let text = |text: &Option<Text>| text.as_deref().unwrap_or_default().to_owned();
    pb::Finding {
        finding_id: row.place.2.saturating_add(1),
        reconciliation_id: run_id,
        rule: finding.rule.as_str().to_owned(),
        severity: match finding.severity {
            Severity::High => pb::FindingSeverity::High,
            Severity::Medium => pb::FindingSeverity::Medium,
            Severity::Low => pb::FindingSeverity::Low,
        }
        .into(),
        account_id: finding.account_id.unwrap_or_default(),
        workspace: text(&finding.workspace),
        user_id: finding.user_id.unwrap_or_default(),
        task_id: text(&finding.task_id),
        online_task_id: text(&finding.online_task_id),
        app_name: text(&finding.app_name),
        message: finding.message(Language::English),
        evidence: finding.evidence.to_json(),
    }
}

/// What fal says of usage.
pub(in crate::api) fn usage_answer(answer: &UsageAnswer) -> pb::QueryUsageResponse {
    pb::QueryUsageResponse {
        rows: answer.lines.iter().map(usage_row).collect(),
        cost_nano_usd: answer.cost_nano_usd(),
        account_errors: answer.failures.iter().map(failure).collect(),
    }
}

fn usage_row(line: &UsageLine) -> pb::UsageRow {
    let row = &line.row;
    pb::UsageRow {
        account_id: line.account_id,
        account_name: line.account_name.to_string(),
        workspace: line.workspace.to_string(),
        start_time: Some(timestamp(line.start)),
        app_name: row.endpoint_id.clone(),
        unit: row.unit.clone(),
        quantity: row.quantity.to_string(),
        unit_price: row.unit_price.to_string(),
        percent_discount: row.percent_discount.map(|percent| percent.to_string()).unwrap_or_default(),
        cost_nano_usd: row.cost.map(|cost| cost.0),
    }
}

const fn state(state: RunState) -> pb::ReconciliationState {
    match state {
        RunState::Running => pb::ReconciliationState::Running,
        RunState::Completed => pb::ReconciliationState::Completed,
        RunState::Partial => pb::ReconciliationState::Partial,
        RunState::Failed => pb::ReconciliationState::Failed,
    }
}

/// The reason of the contract.
pub(in crate::api) const fn reason(reason: Reason) -> pb::ErrorReason {
    match reason {
        Reason::UpstreamUnavailable => pb::ErrorReason::UpstreamUnavailable,
        Reason::UpstreamDenied => pb::ErrorReason::UpstreamDenied,
        Reason::SecretUnavailable => pb::ErrorReason::SecretUnavailable,
    }
}

fn failure(failure: &Failure) -> pb::AccountError {
    let source = match failure.source {
        Source::BillingEvents => pb::UpstreamSource::BillingEvents,
        Source::Usage => pb::UpstreamSource::Usage,
        Source::Balance => pb::UpstreamSource::Balance,
    };
    pb::AccountError {
        account_id: failure.account_id,
        account_name: failure.account_name.clone(),
        workspace: failure.workspace.clone(),
        source: source.into(),
        reason: reason(failure.reason).into(),
        http_status: failure.http_status.into(),
        message: failure.message.clone(),
    }
}

fn finding_counts(run: &Run, counts: Option<&Counts>) -> pb::FindingCounts {
    let [high, medium, low] = run.findings;
    let rules = counts.map(|counts| {
        let rule = |(rule, findings): (&Rule, &u64)| pb::RuleCount {
            rule: rule.as_str().to_owned(),
            findings: count(*findings),
        };
        counts.rules.iter().map(rule).collect()
    });
    pb::FindingCounts { high, medium, low, rules: rules.unwrap_or_default() }
}

fn totals(totals: &Totals) -> pb::ReconciliationTotals {
    let users = &totals.users;
    pb::ReconciliationTotals {
        tasks: Some(task_sums(&totals.sums)),
        pending_tasks: count(totals.pending_tasks),
        unjudged_tasks: count(totals.unjudged_tasks),
        official_cost_nano_usd: sum(totals.official_cost_nano_usd),
        events: Some(event_sums(&totals.events)),
        stray: Some(stray_sums(&totals.stray)),
        repeated_events: count(totals.repeated_events),
        users: Some(pb::UserTotals {
            users: count(users.users),
            users_not_ok: count(users.not_ok),
            charged_points: sum(users.charged_points),
            points_consumed: sum(users.points_consumed),
            cash_consumed: sum(users.cash_consumed),
            refunded_points: sum(users.refunded_points),
            credited_points: sum(users.credited_points),
        }),
    }
}

fn workspace_row(row: &WorkspaceRow) -> pb::WorkspaceRow {
    let model = |model: &WorkspaceModelRow| pb::WorkspaceModelRow {
        app_name: model.model.to_string(),
        units: model
            .units
            .iter()
            .map(|unit| pb::UnitRow { unit: unit.unit.to_string(), quantity: nano_decimal(unit.units_nano) })
            .collect(),
        usage_nano_usd: model.usage_nano_usd.map(sum),
        events: Some(event_sums(&model.events)),
    };
    let account = |account: &AccountRow| pb::WorkspaceAccount {
        account_id: account.account_id,
        account_name: account.name.to_string(),
    };
    pb::WorkspaceRow {
        workspace: row.workspace.to_string(),
        accounts: row.accounts.iter().map(account).collect(),
        complete: row.complete,
        balance_nano_usd: row.balance_nano_usd,
        official_cost_nano_usd: sum(row.official_cost_nano_usd),
        usage_nano_usd: row.usage_nano_usd.map(sum),
        events: Some(event_sums(&row.events)),
        stray: Some(stray_sums(&row.stray)),
        billed_nano_usd: sum(row.billed_nano_usd),
        recorded_nano_usd: sum(row.recorded_nano_usd),
        models: row.models.iter().map(model).collect(),
    }
}

fn task_row(row: &TaskRow) -> pb::TaskRow {
    let CellSums { tasks, charged_points, refunded_points, cost_nano_usd, without_cost } = row.sums;
    pb::TaskRow {
        account_id: row.account_id.unwrap_or_default(),
        user_id: row.user_id,
        app_name: row.model.to_string(),
        tasks: count(tasks),
        charged_points,
        refunded_points,
        cost_nano_usd,
        tasks_without_cost: count(without_cost),
    }
}

const fn user_row(row: &UserRow) -> pb::UserRow {
    pb::UserRow {
        user_id: row.user_id,
        charged_points: row.charged_points,
        points_consumed: row.points_consumed,
        cash_consumed: row.cash_consumed,
        refunded_points: row.refunded_points,
        credited_points: row.credited_points,
        difference_points: row.difference_points,
        ok: row.ok,
    }
}

fn day_row(row: &DayRow) -> pb::DayRow {
    pb::DayRow {
        day: row.day.to_string(),
        tasks: Some(task_sums(&row.sums)),
        events: Some(event_sums(&row.events)),
        consumed_points: sum(row.consumed_points),
        refunded_points: sum(row.refunded_points),
        credited_points: sum(row.credited_points),
    }
}

fn model_row(row: &ModelRow) -> pb::ModelRow {
    pb::ModelRow {
        app_name: row.model.to_string(),
        tasks: Some(task_sums(&row.sums)),
        events: Some(event_sums(&row.events)),
    }
}

fn task_sums(sums: &TaskSums) -> pb::TaskSums {
    pb::TaskSums {
        tasks: count(sums.tasks),
        charged_points: sum(sums.charged_points),
        refunded_points: sum(sums.refunded_points),
        cost_nano_usd: sum(sums.cost_nano_usd),
        billed_nano_usd: sum(sums.billed_nano_usd),
        reported_nano_usd: sum(sums.reported_nano_usd),
        tasks_without_cost: count(sums.without_cost),
    }
}

fn event_sums(sums: &EventSums) -> pb::EventSums {
    pb::EventSums { events: count(sums.events), cost_nano_usd: sum(sums.cost_nano_usd) }
}

fn stray_sums(sums: &StraySums) -> pb::StraySums {
    pb::StraySums { requests: count(sums.requests), cost_nano_usd: sum(sums.cost_nano_usd) }
}

fn sum(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// 10⁻⁹ units as a decimal number, without zeros at its end.
fn nano_decimal(nano: i128) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let magnitude = nano.unsigned_abs();
    let (whole, part) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
    if part == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{part:09}").trim_end_matches('0').to_owned()
}

/// A rate as the decimal number it was configured as: its denominator is a power of ten.
fn decimal_rate(rate: Rate) -> String {
    let (numerator, denominator) = rate.parts();
    nano_decimal(i128::from(numerator) * 1_000_000_000 / i128::from(denominator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_short() {
        assert_eq!(nano_decimal(8_440_000_000), "8.44");
        assert_eq!(
            (nano_decimal(0), nano_decimal(-1), nano_decimal(3_000_000_000)),
            ("0".into(), "-0.000000001".into(), "3".into())
        );
        let rate =
            |numerator, denominator| decimal_rate(Rate::new(numerator, denominator).expect("positive"));
        assert_eq!((rate(400, 1), rate(71_823, 100)), ("400".into(), "718.23".into()));
    }

    #[test]
    fn a_sum_beyond_the_wire_is_held_at_its_end() {
        assert_eq!((sum(i128::MAX), sum(i128::MIN), sum(7)), (i64::MAX, i64::MIN, 7));
    }
}
