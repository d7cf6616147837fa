//! What a batch decides on of the key pool: locked first, read after.
//!
//! | phase | round trips |
//! |---|---|
//! | lock the workspaces of all that is named, sorted by bytes, and read their rows | 1 |
//! | ids for accounts that may be added | 1, none without |
//! | read all accounts of these workspaces, with their keys | 1 |
//! | read leases, and the batch's moment | 1 |
//!
//! What is to be locked is found before the locks are held. What is read afterwards must lie within them: where an
//! account moved, or a lease or key was given meanwhile, the batch is not decided on half of the rows but read again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::{PgBindIterExt, PgRow};

use super::super::{Failure, StoreError};
use super::decode::{Columns, Decoded};
use super::keys_decode as decode;
use super::writer::{fetch, locking, with_now};
use crate::keypool::{Account, AccountId, AccountStatus, Footprint, Lease, Snapshot, Workspace};
use crate::ledger::Micros;
use crate::mutants::Mutant;

const READING: &str = "reading the accounts of a batch";

/// Locks and reads the rows of a footprint; their moment is later than all locks.
pub(super) async fn read(
    connection: &mut PgConnection,
    limit: Duration,
    footprint: &Footprint,
) -> Result<(Option<Micros>, Snapshot), Failure> {
    let mut snapshot = Snapshot {
        workspaces: lock(connection, limit, footprint).await?,
        fresh_ids: fresh_ids(connection, limit, footprint).await?,
        ..Snapshot::default()
    };
    let statement = sqlx::query(include_str!("sql/writer_read_accounts.sql"))
        .bind(snapshot.workspaces.iter().map(|row| &*row.workspace).bind_iter())
        .bind(footprint.accounts.iter().copied().bind_iter())
        .bind(footprint.key_ids.iter().map(|key_id| &**key_id).bind_iter())
        .bind(footprint.tasks.iter().map(|task_id| &**task_id).bind_iter());
    let rows = fetch(connection, limit, READING, statement).await?;
    take_accounts(&rows, &mut snapshot).map_err(Failure::Stop)?;
    if snapshot.accounts.iter().any(|account| !is_locked(&snapshot, account)) {
        return Err(moved());
    }

    let statement = sqlx::query(include_str!("sql/writer_read_leases.sql"))
        .bind(snapshot.accounts.iter().map(|account| account.account_id).bind_iter())
        .bind(footprint.leases.iter().map(|lease_id| &**lease_id).bind_iter())
        .bind(footprint.tasks.iter().map(|task_id| &**task_id).bind_iter());
    let rows = fetch(connection, limit, "reading the leases of a batch", statement).await?;
    let (now, leases) = with_now(&rows, "lease_id", decode::lease).map_err(Failure::Stop)?;
    let locked: BTreeSet<AccountId> = snapshot.accounts.iter().map(|account| account.account_id).collect();
    // The newest lease of a named one's task is only looked at: it may be anywhere.
    let must_be_locked = |lease: &Lease| {
        let is_asked_for = lease.is_open() && footprint.tasks.contains(&lease.task_id);
        is_asked_for || footprint.leases.contains(&lease.lease_id)
    };
    if leases.iter().any(|lease| must_be_locked(lease) && !locked.contains(&lease.account_id)) {
        return Err(moved());
    }
    snapshot.leases = leases.into_iter().map(Arc::new).collect();
    Ok((now, snapshot))
}

async fn lock(
    connection: &mut PgConnection,
    limit: Duration,
    footprint: &Footprint,
) -> Result<Vec<Workspace>, Failure> {
    let sql = locking(include_str!("sql/writer_lock_workspaces.sql"), Mutant::LeaseOutsideLock);
    let statement = sqlx::query(sql)
        .bind(footprint.workspaces.iter().map(|workspace| &**workspace).bind_iter())
        .bind(footprint.accounts.iter().copied().bind_iter())
        .bind(footprint.leases.iter().map(|lease_id| &**lease_id).bind_iter())
        .bind(footprint.tasks.iter().map(|task_id| &**task_id).bind_iter())
        .bind(footprint.key_ids.iter().map(|key_id| &**key_id).bind_iter());
    let rows = fetch(connection, limit, "locking the workspaces of a batch", statement).await?;
    rows.iter().map(decode::workspace).collect::<Decoded<_>>().map_err(Failure::Stop)
}

async fn fresh_ids(
    connection: &mut PgConnection,
    limit: Duration,
    footprint: &Footprint,
) -> Result<Vec<AccountId>, Failure> {
    const WHAT: &str = "drawing the ids of new accounts";
    if footprint.new_accounts == 0 {
        return Ok(Vec::new());
    }
    let statement =
        sqlx::query(include_str!("sql/writer_account_ids.sql")).bind(i64::from(footprint.new_accounts));
    let rows = fetch(connection, limit, WHAT, statement).await?;
    let ids = rows.iter().map(|row| Columns::new(row, WHAT).get("id"));
    ids.collect::<Decoded<_>>().map_err(Failure::Stop)
}

/// Takes apart rows of an account and one of its keys each, sorted by account.
fn take_accounts(rows: &[PgRow], snapshot: &mut Snapshot) -> Decoded<()> {
    for row in rows {
        let columns = Columns::new(row, READING);
        let account_id: AccountId = columns.get("id")?;
        if snapshot.accounts.last().is_none_or(|last| last.account_id != account_id) {
            let account = decode::account(row)?;
            if account.status != AccountStatus::Deleted {
                let balance: Option<i64> = columns.get("balance_nano_usd")?;
                let of = snapshot.workspaces.iter_mut().find(|shared| shared.workspace == account.workspace);
                if let Some(shared) = of {
                    shared.balance_nano_usd = shared.balance_nano_usd.max(balance);
                }
            }
            snapshot.accounts.push(account);
        }
        if columns.get::<Option<AccountId>>("account_id")?.is_some() {
            let key = decode::account_key(row)?;
            if columns.get("is_named")? {
                snapshot.key_owners.push((Arc::clone(&key.key_id), account_id));
            }
            snapshot.keys.push(key);
        }
    }
    Ok(())
}

fn is_locked(snapshot: &Snapshot, account: &Account) -> bool {
    snapshot.workspaces.iter().any(|shared| shared.workspace == account.workspace)
}

/// What is named has left what is locked since that was looked up.
fn moved() -> Failure {
    let source = "an account, lease or key of the batch is in a workspace that is not locked".into();
    Failure::Again(StoreError::Conflict { what: READING, source })
}
