//! Rows of the key pool's tables as its values. The columns come in the order the statements under `sql/` name them.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use super::rows::{Cells, Read};
use crate::keypool::{
    Account, AccountId, AccountKey, AccountStatus, AllowList, Cause, Circuit, Lease, LeaseOutcome, Out,
    Purpose, Sealed, Vitals, Workspace,
};
use crate::ledger::{Micros, Text};
use crate::store::rows::Usage;
use crate::store::{AccountRecord, AuditRecord, LeaseRecord};

pub(super) fn text(row: &SqliteRow) -> Read<Text> {
    Cells::of(row).text()
}

pub(super) fn workspace(row: &SqliteRow) -> Read<Workspace> {
    workspace_cells(&mut Cells::of(row))
}

fn workspace_cells(cells: &mut Cells<'_>) -> Read<Workspace> {
    Ok(Workspace {
        workspace: cells.text()?,
        balance_nano_usd: cells.get()?,
        circuit: circuit(cells)?,
        vitals: Vitals {
            error_permille: cells.get()?,
            latency_micros: cells.get()?,
            report_time: cells.optional_time()?.unwrap_or_default(),
            streak: cells.get()?,
            streak_start: cells.optional_time()?.unwrap_or_default(),
            last_failure: {
                let cause = cells.optional_word(Cause::parse)?;
                cause.zip(cells.optional_time()?)
            },
            last_success: cells.optional_time()?,
        },
    })
}

/// `out_cause, out_since, out_until, probe_lease_id, strikes, returned_at`: the table checks that the first three come
/// together.
fn circuit(cells: &mut Cells<'_>) -> Read<Circuit> {
    let cause = cells.optional_word(Cause::parse)?;
    let (since, until): (Option<Micros>, Option<Micros>) = (cells.optional_time()?, cells.optional_time()?);
    let probe = cells.optional_text()?;
    let out = cause.zip(since.zip(until)).map(|(cause, (since, until))| Out { cause, since, until, probe });
    Ok(Circuit { out, strikes: cells.get()?, return_time: cells.optional_time()? })
}

pub(super) fn account(row: &SqliteRow) -> Read<Account> {
    account_cells(&mut Cells::of(row))
}

fn account_cells(cells: &mut Cells<'_>) -> Read<Account> {
    Ok(Account {
        account_id: cells.get()?,
        name: cells.text()?,
        workspace: cells.text()?,
        key_id: cells.text()?,
        billing_key_id: cells.optional_text()?,
        status: cells.word(AccountStatus::parse)?,
        max_concurrency: cells.get()?,
        priority: cells.get()?,
        weight: cells.get()?,
        allowed_apps: cells.word(AllowList::from_json)?,
        remark: cells.text()?,
        use_cnt: cells.get()?,
        error_cnt: cells.get()?,
        create_time: cells.time()?,
        update_time: cells.time()?,
        key: circuit(cells)?,
    })
}

pub(super) fn account_record(row: &SqliteRow) -> Read<AccountRecord> {
    let mut cells = Cells::of(row);
    let (account, in_flight) = (account_cells(&mut cells)?, cells.get()?);
    Ok(AccountRecord { account, in_flight, workspace: workspace_cells(&mut cells)? })
}

pub(super) fn lease(row: &SqliteRow) -> Read<Lease> {
    lease_cells(&mut Cells::of(row))
}

pub(super) fn shared_lease(row: &SqliteRow) -> Read<Arc<Lease>> {
    lease(row).map(Arc::new)
}

fn lease_cells(cells: &mut Cells<'_>) -> Read<Lease> {
    Ok(Lease {
        lease_id: cells.text()?,
        account_id: cells.get()?,
        key_id: cells.text()?,
        runner_id: cells.text()?,
        user_id: cells.get()?,
        task_id: cells.text()?,
        fence: cells.get()?,
        acquire_time: cells.time()?,
        expire_time: cells.time()?,
        release_time: cells.optional_time()?,
        outcome: cells.optional_word(LeaseOutcome::parse)?,
        is_probe: cells.flag()?,
        is_retry: cells.flag()?,
        estimated_cost_nano_usd: cells.get()?,
    })
}

pub(super) fn lease_record(row: &SqliteRow) -> Read<LeaseRecord> {
    let mut cells = Cells::of(row);
    let (lease, account_name) = (lease_cells(&mut cells)?, cells.text()?);
    Ok(LeaseRecord { lease, account_name, key: sealed(&mut cells)? })
}

/// `kek_id, sealed`: the table checks that they come together.
fn sealed(cells: &mut Cells<'_>) -> Read<Option<Sealed>> {
    let kek_id = cells.optional_text()?;
    let bytes: Option<&[u8]> = cells.get()?;
    Ok(kek_id.zip(bytes).map(|(kek_id, bytes)| Sealed { kek_id, bytes: bytes.into() }))
}

pub(super) fn account_key(row: &SqliteRow) -> Read<AccountKey> {
    let mut cells = Cells::of(row);
    Ok(AccountKey {
        account_id: cells.get()?,
        purpose: cells.word(Purpose::parse)?,
        key_id: cells.text()?,
        sealed: sealed(&mut cells)?,
        create_time: cells.time()?,
        retire_time: cells.optional_time()?,
    })
}

pub(super) fn key_owner(row: &SqliteRow) -> Read<(Text, AccountId)> {
    let mut cells = Cells::of(row);
    Ok((cells.text()?, cells.get()?))
}

pub(super) fn usage(row: &SqliteRow) -> Read<Usage> {
    let mut cells = Cells::of(row);
    let (workspace, in_flight) = (cells.text()?, cells.get()?);
    let (high, low): (i64, i64) = (cells.get()?, cells.get()?);
    let committed = (i128::from(high) << 32) + i128::from(low);
    Ok(Usage { workspace, in_flight, committed_nano_usd: i64::try_from(committed).unwrap_or(i64::MAX) })
}

pub(super) fn audit_record(row: &SqliteRow) -> Read<AuditRecord> {
    let mut cells = Cells::of(row);
    Ok(AuditRecord {
        id: cells.get()?,
        time: cells.time()?,
        actor: cells.text()?,
        subject_kind: cells.text()?,
        subject: cells.text()?,
        account_id: cells.get()?,
        reason: cells.text()?,
        changes: cells.text()?,
    })
}

pub(super) fn account_id(row: &SqliteRow) -> Read<AccountId> {
    Cells::of(row).get()
}
