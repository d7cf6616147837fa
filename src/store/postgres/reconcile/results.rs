//! What a run found: findings, rows of its report, costs and their writing.

use sqlx::postgres::{PgBindIterExt, PgRow};
use sqlx::{PgConnection, Row};

use super::super::citus;
use super::super::connect::Target;
use super::super::decode::{Columns, Decoded};
use super::super::error::Trouble;
use super::{PostgresReconcile, Steps, numbered};
use crate::audit;
use crate::ledger::Text;
use crate::store::StoreError;
use crate::store::reconcile::{Applied, CHUNK, FindingQuery, FindingRow, ReportRow, Turn, WriteError, rank};

/// A chunk, as statements count.
const LIMIT: u32 = CHUNK as u32;

impl PostgresReconcile {
    pub(super) async fn forget(&self, turn: Turn) -> Result<(), WriteError> {
        const WHAT: &str = "forgetting what a run found";
        for text in [
            include_str!("sql/clear_findings.sql"),
            include_str!("sql/clear_rows.sql"),
            include_str!("sql/clear_costs.sql"),
        ] {
            let chunk = || {
                let statement = sqlx::query(text).bind(turn.run_id).bind(i64::from(LIMIT));
                self.within(turn, WHAT, statement)
            };
            while chunk().await? == u64::from(LIMIT) {}
        }
        let statement = sqlx::query(include_str!("sql/reset_run.sql")).bind(turn.run_id);
        self.within(turn, WHAT, statement).await.map(drop)
    }

    pub(super) async fn keep_findings(
        &self,
        turn: Turn,
        first: i64,
        findings: &[audit::Finding],
    ) -> Result<(), WriteError> {
        for rows in numbered(first, findings).chunks(CHUNK) {
            let statement = sqlx::query(include_str!("sql/insert_findings.sql"))
                .bind(turn.run_id)
                .bind(rows.iter().map(|(_, row)| rank(row.severity)).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.rule.as_str()).bind_iter())
                .bind(rows.iter().map(|(number, _)| *number).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.account_id).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.workspace.as_deref()).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.user_id).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.task_id.as_deref()).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.online_task_id.as_deref()).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.app_name.as_deref()).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.evidence.to_json()).bind_iter());
            self.within(turn, "keeping findings", statement).await?;
        }
        Ok(())
    }

    pub(super) async fn keep_rows(
        &self,
        turn: Turn,
        layer: i16,
        first: i64,
        rows: &[String],
    ) -> Result<(), WriteError> {
        for rows in numbered(first, rows).chunks(CHUNK) {
            let statement = sqlx::query(include_str!("sql/insert_rows.sql"))
                .bind(turn.run_id)
                .bind(layer)
                .bind(rows.iter().map(|(number, _)| *number).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.as_str()).bind_iter());
            self.within(turn, "keeping a report", statement).await?;
        }
        Ok(())
    }

    pub(super) async fn keep_costs(
        &self,
        turn: Turn,
        first: i64,
        costs: &[audit::CostChange],
    ) -> Result<(), WriteError> {
        for rows in numbered(first, costs).chunks(CHUNK) {
            let statement = sqlx::query(include_str!("sql/insert_costs.sql"))
                .bind(turn.run_id)
                .bind(rows.iter().map(|(number, _)| *number).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.user_id).bind_iter())
                .bind(rows.iter().map(|(_, row)| &*row.task_id).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.from_nano_usd).bind_iter())
                .bind(rows.iter().map(|(_, row)| row.to_nano_usd).bind_iter());
            self.within(turn, "keeping costs", statement).await?;
        }
        Ok(())
    }

    pub(super) async fn write_costs(
        &self,
        turn: Turn,
        after: i64,
        limit: u32,
    ) -> Result<Applied, WriteError> {
        let mut desk = self.desk().await?;
        let done = apply(&mut desk.kept.connection, desk.target, turn, after, limit.min(LIMIT)).await;
        desk.end("writing billed costs", done).await?.ok_or(WriteError::Superseded)
    }

    pub(super) async fn list_findings(
        &self,
        query: &FindingQuery,
        after: Option<(i16, &str, i64)>,
        limit: u32,
    ) -> Result<Vec<FindingRow>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for stretch in query.stretches(after) {
            if found.len() >= limit {
                break;
            }
            let statement = sqlx::query(include_str!("sql/findings.sql"))
                .bind(query.run_id)
                .bind(stretch.rank)
                .bind(stretch.after.0)
                .bind(stretch.after.1)
                .bind(stretch.last_rule)
                .bind(i64::try_from(limit - found.len()).unwrap_or(i64::MAX));
            found.extend(self.reader.read("listing findings", statement, finding).await?);
        }
        Ok(found)
    }
}

async fn apply(
    connection: &mut PgConnection,
    target: &Target,
    turn: Turn,
    after: i64,
    rows: u32,
) -> Result<Option<Applied>, Trouble> {
    let Some(mut steps) = Steps::of(turn, connection, target).await? else { return Ok(None) };
    let run_id = turn.run_id;
    let chunk =
        sqlx::query(include_str!("sql/count_costs.sql")).bind(run_id).bind(after).bind(i64::from(rows));
    let chunk = steps.one(chunk).await?;
    let (seen, last): (i64, Option<i64>) = (chunk.try_get("seen")?, chunk.try_get("last")?);
    let Some(last) = last else {
        steps.commit().await?;
        return Ok(Some(Applied { after, seen: 0, written: 0 }));
    };
    let users = sqlx::query(target.form(&citus::LOCK_USERS_OF_COSTS)).bind(run_id).bind(after).bind(last);
    steps.execute(users).await?;
    let costs = sqlx::query(target.form(&citus::WRITE_COSTS)).bind(run_id).bind(after).bind(last);
    let written: i64 = steps.one(costs).await?.try_get("written")?;
    if written > 0 {
        steps.execute(sqlx::query(include_str!("sql/log_costs.sql")).bind(run_id).bind(written)).await?;
        steps.execute(sqlx::query(include_str!("sql/count_applied.sql")).bind(run_id).bind(written)).await?;
    }
    steps.commit().await?;
    let count = |count: i64| u32::try_from(count).map_err(|error| Trouble::Wrong(error.to_string()));
    Ok(Some(Applied { after: last, seen: count(seen)?, written: count(written)? }))
}

/// A row of `scrip_findings`.
fn finding(row: &PgRow) -> Decoded<FindingRow> {
    const WHAT: &str = "reading scrip_findings";
    let row = Columns::new(row, WHAT);
    let unreadable =
        |found: &str| Trouble::Wrong(format!("{found:?} is not known to this release")).store_error(WHAT);
    let (place, word, number): (i16, &str, i64) =
        (row.get("severity_rank")?, row.get("rule")?, row.get("number")?);
    let rule = audit::Rule::parse(word).ok_or_else(|| unreadable(word))?;
    let severity = audit::Severity::ALL.iter().find(|severity| rank(**severity) == place);
    let evidence: &str = row.get("evidence")?;
    let figures = audit::Evidence::from_json(evidence).ok_or_else(|| unreadable(evidence))?;
    let finding = audit::Finding {
        severity: *severity.ok_or_else(|| unreadable(&place.to_string()))?,
        account_id: row.get("account_id")?,
        workspace: row.text_or_null("workspace")?,
        user_id: row.get("user_id")?,
        task_id: row.text_or_null("task_id")?,
        online_task_id: row.text_or_null("online_task_id")?,
        app_name: row.text_or_null("app_name")?,
        ..audit::Finding::new(rule, figures)
    };
    Ok(FindingRow { place: (place, Text::from(word), number), finding })
}

/// A row of `scrip_reconciliation_rows`.
pub(super) fn report_row(row: &PgRow) -> Decoded<ReportRow> {
    let row = Columns::new(row, "reading scrip_reconciliation_rows");
    Ok(ReportRow { layer: row.get("layer")?, number: row.get("number")?, content: row.get("content")? })
}
