//! The pool's part of a plan as bulk statements: one array a column, in the order of the placeholders of the `.sql`
//! files.
//!
//! 1. what nearly every batch with keys writes: workspaces, accounts, leases, the audit log; once more for new leases
//!    of tasks whose old lease it closes
//! 2. new workspaces, new accounts and keys, if any
//! 3. balances, if any: each account has its workspace by then
//! 4. secrets sealed anew, if any: what was replaced in 2 stays replaced

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::PgBindIterExt;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::error::Trouble;
use super::session::{Statement, execute, row};
use super::time::Stamp;
use super::write::{expect, stamp, text};
use crate::keypool::{
    Account, AccountKey, AuditLine, Circuit, KeyWrite, Lease, LeaseOutcome, Plan, Purpose, Reseal, Workspace,
};
use crate::ledger::{Change, Micros};

/// What one run of the first statement writes.
#[derive(Default)]
struct Part<'p> {
    workspaces: Vec<&'p Workspace>,
    accounts: Vec<&'p Account>,
    leases: Vec<&'p Lease>,
    new_leases: Vec<&'p Lease>,
    audit: &'p [AuditLine],
}

/// Writes a plan. `batch_id` is `None` where it has been written before. Whatever does not go as planned is an error,
/// and the caller rolls back.
pub(super) async fn write(
    connection: &mut PgConnection,
    limit: Duration,
    batch_id: Option<Uuid>,
    plan: &Plan,
) -> Result<(), Trouble> {
    let leases: Vec<&Lease> = rows(plan.leases.iter().map(|(change, row)| (change, &**row)), Change::Update);
    let new_leases = rows(plan.leases.iter().map(|(change, row)| (change, &**row)), Change::Insert);
    let closing: BTreeSet<&str> = leases.iter().map(|lease| &*lease.task_id).collect();
    let (later, new_leases): (Vec<&Lease>, Vec<&Lease>) =
        new_leases.into_iter().partition(|lease| closing.contains(&*lease.task_id));
    let first = Part {
        workspaces: rows(plan.workspaces.iter().map(|(change, row)| (change, row)), Change::Update),
        accounts: rows(plan.accounts.iter().map(|(change, row)| (change, row)), Change::Update),
        leases,
        new_leases,
        audit: &plan.audit,
    };
    write_part(connection, limit, batch_id, &first).await?;
    if !later.is_empty() {
        let second = Part { new_leases: later, ..Part::default() };
        write_part(connection, limit, None, &second).await?;
    }
    write_accounts(connection, limit, plan).await?;
    write_balances(connection, limit, plan).await?;
    reseal(connection, limit, plan).await
}

fn rows<'p, T>(rows: impl Iterator<Item = (&'p Change, &'p T)>, wanted: Change) -> Vec<&'p T> {
    rows.filter(|(change, _)| **change == wanted).map(|(_, row)| row).collect()
}

async fn write_part(
    connection: &mut PgConnection,
    limit: Duration,
    batch_id: Option<Uuid>,
    part: &Part<'_>,
) -> Result<(), Trouble> {
    let statement = sqlx::query(include_str!("sql/writer_write_keys.sql"));
    let statement = statement.bind(batch_id.into_iter().bind_iter());
    let statement = bind_workspaces(statement, &part.workspaces);
    let statement = bind_accounts(statement, &part.accounts);
    let statement = statement
        .bind(part.leases.iter().map(|lease| &*lease.lease_id).bind_iter())
        .bind(part.leases.iter().map(|lease| Stamp(lease.expire_time)).bind_iter())
        .bind(part.leases.iter().map(|lease| stamp(lease.release_time)).bind_iter())
        .bind(part.leases.iter().map(|lease| lease.outcome.map(LeaseOutcome::as_str)).bind_iter());
    let statement = bind_new_leases(statement, &part.new_leases);
    let statement = bind_audit(statement, part.audit);
    let found = row(connection, limit, statement).await?;
    expect(found.try_get("workspaces")?, part.workspaces.len(), "workspaces")?;
    expect(found.try_get("accounts")?, part.accounts.len(), "accounts")?;
    expect(found.try_get("leases")?, part.leases.len(), "leases")
}

async fn write_accounts(connection: &mut PgConnection, limit: Duration, plan: &Plan) -> Result<(), Trouble> {
    let workspaces: Vec<&Workspace> =
        rows(plan.workspaces.iter().map(|(change, row)| (change, row)), Change::Insert);
    let accounts: Vec<&Account> =
        rows(plan.accounts.iter().map(|(change, row)| (change, row)), Change::Insert);
    let keys = |wanted: Change| -> Vec<&AccountKey> {
        let puts = plan.keys.iter().filter_map(|write| match write {
            KeyWrite::Put(change, key) => Some((change, key)),
            KeyWrite::Reseal(_) => None,
        });
        rows(puts, wanted)
    };
    let (new_keys, changed_keys) = (keys(Change::Insert), keys(Change::Update));
    if workspaces.is_empty() && accounts.is_empty() && new_keys.is_empty() && changed_keys.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(include_str!("sql/writer_write_accounts.sql"));
    let statement = bind_workspaces(statement, &workspaces);
    let statement = bind_accounts(statement, &accounts);
    let statement = bind_keys(statement, &new_keys);
    let statement = bind_keys(statement, &changed_keys);
    let found: i64 = row(connection, limit, statement).await?.try_get("keys")?;
    expect(found, changed_keys.len(), "keys")
}

async fn write_balances(connection: &mut PgConnection, limit: Duration, plan: &Plan) -> Result<(), Trouble> {
    if plan.balances.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(include_str!("sql/writer_write_balances.sql"))
        .bind(plan.balances.iter().map(|(workspace, _)| &**workspace).bind_iter())
        .bind(plan.balances.iter().map(|(_, balance)| *balance).bind_iter());
    execute(connection, limit, statement).await.map(drop)
}

async fn reseal(connection: &mut PgConnection, limit: Duration, plan: &Plan) -> Result<(), Trouble> {
    let reseals: Vec<&Reseal> = plan
        .keys
        .iter()
        .filter_map(|write| match write {
            KeyWrite::Put(..) => None,
            KeyWrite::Reseal(reseal) => Some(reseal),
        })
        .collect();
    if reseals.is_empty() {
        return Ok(());
    }
    let statement = sqlx::query(include_str!("sql/writer_reseal_keys.sql"))
        .bind(reseals.iter().map(|reseal| reseal.account_id).bind_iter())
        .bind(reseals.iter().map(|reseal| reseal.purpose.as_str()).bind_iter())
        .bind(reseals.iter().map(|reseal| &*reseal.key_id).bind_iter())
        .bind(reseals.iter().map(|reseal| &*reseal.before.kek_id).bind_iter())
        .bind(reseals.iter().map(|reseal| &*reseal.before.bytes).bind_iter())
        .bind(reseals.iter().map(|reseal| &*reseal.after.kek_id).bind_iter())
        .bind(reseals.iter().map(|reseal| &*reseal.after.bytes).bind_iter());
    execute(connection, limit, statement).await.map(drop)
}

fn bind_workspaces<'q>(statement: Statement<'q>, workspaces: &'q [&'q Workspace]) -> Statement<'q> {
    let rows = || workspaces.iter().copied();
    let statement = statement.bind(rows().map(|row| &*row.workspace).bind_iter());
    let statement = bind_circuits(statement, rows().map(|row| &row.circuit));
    let vitals = || rows().map(|row| &row.vitals);
    statement
        .bind(vitals().map(|vitals| i64::from(vitals.error_permille)).bind_iter())
        .bind(vitals().map(|vitals| vitals.latency_micros).bind_iter())
        .bind(vitals().map(|vitals| ever(vitals.report_time)).bind_iter())
        .bind(vitals().map(|vitals| i64::from(vitals.streak)).bind_iter())
        .bind(vitals().map(|vitals| ever(vitals.streak_start)).bind_iter())
        .bind(vitals().map(|vitals| vitals.last_failure.map(|(cause, _)| cause.as_str())).bind_iter())
        .bind(vitals().map(|vitals| vitals.last_failure.map(|(_, time)| Stamp(time))).bind_iter())
        .bind(vitals().map(|vitals| stamp(vitals.last_success)).bind_iter())
}

fn bind_accounts<'q>(statement: Statement<'q>, accounts: &'q [&'q Account]) -> Statement<'q> {
    let rows = || accounts.iter().copied();
    let statement = statement
        .bind(rows().map(|row| row.account_id).bind_iter())
        .bind(rows().map(|row| &*row.name).bind_iter())
        .bind(rows().map(|row| &*row.workspace).bind_iter())
        .bind(rows().map(|row| &*row.key_id).bind_iter())
        .bind(rows().map(|row| text(&row.billing_key_id)).bind_iter())
        .bind(rows().map(|row| row.status.as_str()).bind_iter())
        .bind(rows().map(|row| i64::from(row.max_concurrency)).bind_iter())
        .bind(rows().map(|row| row.priority).bind_iter())
        .bind(rows().map(|row| i64::from(row.weight)).bind_iter())
        .bind(rows().map(|row| row.allowed_apps.to_json()).bind_iter())
        .bind(rows().map(|row| &*row.remark).bind_iter())
        .bind(rows().map(|row| row.use_cnt).bind_iter())
        .bind(rows().map(|row| row.error_cnt).bind_iter());
    bind_circuits(statement, rows().map(|row| &row.key))
        .bind(rows().map(|row| Stamp(row.create_time)).bind_iter())
        .bind(rows().map(|row| Stamp(row.update_time)).bind_iter())
}

/// Six columns: why, since when and until when it is out, who probes it, strikes, the newest return.
fn bind_circuits<'q>(
    statement: Statement<'q>,
    circuits: impl Iterator<Item = &'q Circuit> + Clone,
) -> Statement<'q> {
    let outs = || circuits.clone().map(|circuit| circuit.out.as_ref());
    statement
        .bind(outs().map(|out| out.map(|out| out.cause.as_str())).bind_iter())
        .bind(outs().map(|out| out.map(|out| Stamp(out.since))).bind_iter())
        .bind(outs().map(|out| out.map(|out| Stamp(out.until))).bind_iter())
        .bind(outs().map(|out| out.and_then(|out| text(&out.probe))).bind_iter())
        .bind(circuits.clone().map(|circuit| i64::from(circuit.strikes)).bind_iter())
        .bind(circuits.clone().map(|circuit| stamp(circuit.return_time)).bind_iter())
}

fn bind_new_leases<'q>(statement: Statement<'q>, leases: &'q [&'q Lease]) -> Statement<'q> {
    let rows = || leases.iter().copied();
    statement
        .bind(rows().map(|lease| &*lease.lease_id).bind_iter())
        .bind(rows().map(|lease| lease.account_id).bind_iter())
        .bind(rows().map(|lease| &*lease.key_id).bind_iter())
        .bind(rows().map(|lease| &*lease.runner_id).bind_iter())
        .bind(rows().map(|lease| lease.user_id).bind_iter())
        .bind(rows().map(|lease| &*lease.task_id).bind_iter())
        .bind(rows().map(|lease| lease.fence).bind_iter())
        .bind(rows().map(|lease| Stamp(lease.acquire_time)).bind_iter())
        .bind(rows().map(|lease| Stamp(lease.expire_time)).bind_iter())
        .bind(rows().map(|lease| stamp(lease.release_time)).bind_iter())
        .bind(rows().map(|lease| lease.outcome.map(LeaseOutcome::as_str)).bind_iter())
        .bind(rows().map(|lease| lease.is_probe).bind_iter())
        .bind(rows().map(|lease| lease.is_retry).bind_iter())
        .bind(rows().map(|lease| lease.estimated_cost_nano_usd).bind_iter())
}

fn bind_audit<'q>(statement: Statement<'q>, lines: &'q [AuditLine]) -> Statement<'q> {
    let rows = || lines.iter();
    statement
        .bind(rows().map(|line| Stamp(line.time)).bind_iter())
        .bind(rows().map(|line| &*line.actor).bind_iter())
        .bind(rows().map(|line| line.subject.kind()).bind_iter())
        .bind(rows().map(|line| line.subject.name().to_string()).bind_iter())
        .bind(rows().map(|line| line.subject.account_id()).bind_iter())
        .bind(rows().map(|line| &*line.reason).bind_iter())
        .bind(rows().map(AuditLine::changes_json).bind_iter())
}

fn bind_keys<'q>(statement: Statement<'q>, keys: &'q [&'q AccountKey]) -> Statement<'q> {
    let rows = || keys.iter().copied();
    let sealed = || rows().map(|key| key.sealed.as_ref());
    statement
        .bind(rows().map(|key| key.account_id).bind_iter())
        .bind(rows().map(|key| Purpose::as_str(key.purpose)).bind_iter())
        .bind(rows().map(|key| &*key.key_id).bind_iter())
        .bind(sealed().map(|sealed| sealed.map(|sealed| &*sealed.kek_id)).bind_iter())
        .bind(sealed().map(|sealed| sealed.map(|sealed| &*sealed.bytes)).bind_iter())
        .bind(rows().map(|key| Stamp(key.create_time)).bind_iter())
        .bind(rows().map(|key| stamp(key.retire_time)).bind_iter())
}

/// A moment that has come at least once: what never was is NULL.
fn ever(moment: Micros) -> Option<Stamp> {
    (moment != Micros::default()).then_some(Stamp(moment))
}
