//! What a run found: findings, rows of its report, costs and their writing.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::super::error::{bug, store_error};
use super::super::rows::Cells;
use super::super::sql::Bulk;
use super::super::time;
use super::runs::{holds, unreadable};
use super::{SqliteReconcile, Values, insert, numbered, sql};
use crate::audit;
use crate::ledger::{Micros, Text};
use crate::store::StoreError;
use crate::store::reconcile::{Applied, CHUNK, FindingQuery, FindingRow, ReportRow, Turn, WriteError, rank};

/// A chunk, as statements count.
const LIMIT: u32 = CHUNK as u32;

impl SqliteReconcile {
    pub(super) async fn forget(&self, turn: Turn) -> Result<(), WriteError> {
        const WHAT: &str = "forgetting what a run found";
        for text in [sql::CLEAR_FINDINGS, sql::CLEAR_ROWS, sql::CLEAR_COSTS] {
            let chunk = || self.within(turn, WHAT, |_| sqlx::query(text).bind(turn.run_id).bind(LIMIT));
            while chunk().await? == u64::from(LIMIT) {}
        }
        self.within(turn, WHAT, |_| sqlx::query(sql::RESET_RUN).bind(turn.run_id)).await.map(drop)
    }

    /// Writes rows in chunks, each in a transaction of its own.
    async fn keep<T: Sync>(
        &self,
        turn: Turn,
        what: &'static str,
        bulk: &Bulk,
        rows: &[T],
        bind: impl Fn(&mut Values, &T) + Send + Sync,
    ) -> Result<(), WriteError> {
        for rows in rows.chunks(CHUNK) {
            let mut session = self.session.lock().await;
            let done = async {
                let (connection, _) = session.open().await?;
                if !holds(connection, turn).await? {
                    return Ok(None);
                }
                insert(connection, what, bulk, rows, &bind).await.map(Some)
            };
            let done = done.await;
            session.end(done).await?.ok_or(WriteError::Superseded)?;
        }
        Ok(())
    }

    pub(super) async fn keep_findings(
        &self,
        turn: Turn,
        first: i64,
        findings: &[audit::Finding],
    ) -> Result<(), WriteError> {
        let rows: Vec<(i64, &audit::Finding)> = numbered(first, findings).collect();
        self.keep(turn, "keeping findings", &sql::INSERT_FINDINGS, &rows, |values, (number, row)| {
            values
                .put(turn.run_id)
                .put(rank(row.severity))
                .put(row.rule.as_str())
                .put(*number)
                .put(row.account_id)
                .put(row.workspace.clone())
                .put(row.user_id)
                .put(row.task_id.clone())
                .put(row.online_task_id.clone())
                .put(row.app_name.clone())
                .put(row.evidence.to_json());
        })
        .await
    }

    pub(super) async fn keep_rows(
        &self,
        turn: Turn,
        layer: i16,
        first: i64,
        rows: &[String],
    ) -> Result<(), WriteError> {
        let rows: Vec<(i64, &String)> = numbered(first, rows).collect();
        self.keep(turn, "keeping a report", &sql::INSERT_ROWS, &rows, |values, (number, row)| {
            values.put(turn.run_id).put(layer).put(*number).put((*row).clone());
        })
        .await
    }

    pub(super) async fn keep_costs(
        &self,
        turn: Turn,
        first: i64,
        costs: &[audit::CostChange],
    ) -> Result<(), WriteError> {
        let rows: Vec<(i64, &audit::CostChange)> = numbered(first, costs).collect();
        self.keep(turn, "keeping costs", &sql::INSERT_COSTS, &rows, |values, (number, row)| {
            values
                .put(turn.run_id)
                .put(*number)
                .put(row.user_id)
                .put(Text::clone(&row.task_id))
                .put(row.from_nano_usd)
                .put(row.to_nano_usd);
        })
        .await
    }

    pub(super) async fn write_costs(
        &self,
        turn: Turn,
        after: i64,
        limit: u32,
    ) -> Result<Applied, WriteError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            if !holds(connection, turn).await? {
                return Ok(None);
            }
            apply(connection, now, turn.run_id, after, limit.min(LIMIT)).await.map(Some)
        };
        let done = done.await;
        session.end(done).await?.ok_or(WriteError::Superseded)
    }

    pub(super) async fn list_findings(
        &self,
        query: &FindingQuery,
        after: Option<(i16, &str, i64)>,
        limit: u32,
    ) -> Result<Vec<FindingRow>, StoreError> {
        let mut found = Vec::new();
        for stretch in query.stretches(after) {
            let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            if left == 0 {
                break;
            }
            let statement = sqlx::query(sql::FINDINGS)
                .bind(query.run_id)
                .bind(stretch.rank)
                .bind(Text::from(stretch.after.0))
                .bind(stretch.after.1)
                .bind(Text::from(stretch.last_rule))
                .bind(left);
            found.extend(self.reader.all("listing findings", statement, finding).await?);
        }
        Ok(found)
    }
}

async fn apply(
    connection: &mut SqliteConnection,
    now: Micros,
    run_id: i64,
    after: i64,
    limit: u32,
) -> Result<Applied, StoreError> {
    const WHAT: &str = "writing billed costs";
    let failed = |error| store_error(WHAT, error);
    let chunk = sqlx::query(sql::COUNT_COSTS).bind(run_id).bind(after).bind(limit);
    let chunk = chunk.fetch_one(&mut *connection).await.map_err(failed)?;
    let (seen, last): (u32, Option<i64>) =
        (chunk.try_get(0).map_err(failed)?, chunk.try_get(1).map_err(failed)?);
    let Some(last) = last else { return Ok(Applied { after, seen: 0, written: 0 }) };
    let moment = time::to_text(now);
    let mut affected = [0; 2];
    for (affected, text) in affected.iter_mut().zip([sql::MARK_COSTS, sql::WRITE_COSTS]) {
        let statement = sqlx::query(text).bind(run_id).bind(after).bind(last).bind(Text::clone(&moment));
        *affected = statement.execute(&mut *connection).await.map_err(failed)?.rows_affected();
    }
    let [marked, written] = affected;
    if marked != written {
        return Err(bug(WHAT, format!("{written} of {marked} tasks were written")));
    }
    let count = i64::try_from(written).map_err(|error| bug(WHAT, error))?;
    if count > 0 {
        let line = sqlx::query(sql::LOG_COSTS).bind(run_id).bind(moment).bind(count);
        line.execute(&mut *connection).await.map_err(failed)?;
        let counted = sqlx::query(sql::COUNT_APPLIED).bind(run_id).bind(count);
        counted.execute(connection).await.map_err(failed)?;
    }
    let written = u32::try_from(written).map_err(|error| bug(WHAT, error))?;
    Ok(Applied { after: last, seen, written })
}

/// A row of `scrip_findings`.
fn finding(row: &SqliteRow) -> Result<FindingRow, sqlx::Error> {
    let mut cells = Cells::of(row);
    let (severity, rule, number): (i16, &str, i64) = (cells.get()?, cells.get()?, cells.get()?);
    let place = (severity, Text::from(rule), number);
    let rule = audit::Rule::parse(rule).ok_or_else(|| unreadable("a rule", rule))?;
    let severity = *audit::Severity::ALL
        .iter()
        .find(|one| rank(**one) == severity)
        .ok_or_else(|| unreadable("the rank of a severity", &severity.to_string()))?;
    let account_id = cells.get()?;
    let workspace = cells.get::<Option<&str>>()?.map(Text::from);
    let user_id = cells.get()?;
    let [task_id, online_task_id, app_name] =
        [cells.get::<Option<&str>>()?, cells.get()?, cells.get()?].map(|text| text.map(Text::from));
    let evidence: &str = cells.get()?;
    let evidence = audit::Evidence::from_json(evidence)
        .ok_or_else(|| unreadable("the figures of a finding", evidence))?;
    let finding = audit::Finding {
        severity,
        account_id,
        workspace,
        user_id,
        task_id,
        online_task_id,
        app_name,
        ..audit::Finding::new(rule, evidence)
    };
    Ok(FindingRow { place, finding })
}

/// A row of `scrip_reconciliation_rows`.
pub(super) fn report_row(row: &SqliteRow) -> Result<ReportRow, sqlx::Error> {
    let mut cells = Cells::of(row);
    Ok(ReportRow { layer: cells.get()?, number: cells.get()?, content: cells.get()? })
}
