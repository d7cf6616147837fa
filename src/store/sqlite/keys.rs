//! The key pool in a batch, and read whole. A batch that names no keys costs nothing here.
//!
//! | phase | what |
//! |---|---|
//! | names | the workspaces of all that the footprint names |
//! | rows | these, all their accounts, keys and open leases, and the leases that were asked for |
//! | write | workspaces, accounts, credit, keys; leases that end before those that begin: a task has one at most |

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::{bug, store_error};
use super::plan::{Cells, rows, rows_that_fit};
use super::writer::keyed;
use super::{keys_rows, sql};
use crate::keypool::{
    Account, AccountId, AccountKey, AccountStatus, AuditLine, Circuit, Footprint, KeyWrite, Lease, Plan,
    Reseal, Sealed, Snapshot, Workspace,
};
use crate::ledger::{Change, Micros, Text};
use crate::store::{PoolRows, StoreError};

const WHAT: &str = "reading the key pool's rows";

/// The footprint's rows, in the open transaction.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    footprint: &Footprint,
    now: Micros,
) -> Result<Snapshot, StoreError> {
    if footprint.is_empty() {
        return Ok(Snapshot { now, ..Snapshot::default() });
    }
    let leases = json(&footprint.leases.iter().map(AsRef::as_ref).collect::<Vec<&str>>())?;
    let tasks = json(&footprint.tasks.iter().map(AsRef::as_ref).collect::<Vec<&str>>())?;
    let key_ids = json(&footprint.key_ids.iter().map(AsRef::as_ref).collect::<Vec<&str>>())?;
    let accounts = json(&footprint.accounts.iter().collect::<Vec<_>>())?;
    let named = json(&footprint.workspaces.iter().map(AsRef::as_ref).collect::<Vec<&str>>())?;

    let locked = [accounts, Text::clone(&leases), Text::clone(&tasks), named, Text::clone(&key_ids)];
    let locked = bound(connection, sql::READ_KEY_FOOTPRINT, locked, keys_rows::text).await?;
    let locked: Vec<&str> = locked.iter().map(AsRef::as_ref).collect();
    let asked = [json(&locked)?, leases, Text::clone(&tasks)];
    Ok(Snapshot {
        now,
        workspaces: keyed(connection, sql::READ_WORKSPACES, &locked, keys_rows::workspace).await?,
        accounts: keyed(connection, sql::READ_ACCOUNTS, &locked, keys_rows::account).await?,
        leases: bound(connection, sql::READ_LEASES, asked, keys_rows::shared_lease).await?,
        keys: keyed(connection, sql::READ_ACCOUNT_KEYS, &locked, keys_rows::account_key).await?,
        key_owners: bound(connection, sql::READ_KEY_OWNERS, [key_ids, tasks], keys_rows::key_owner).await?,
        fresh_ids: fresh_ids(connection, footprint.new_accounts).await?,
    })
}

/// Ids past every one that was given. Under the write lock nobody else can take them.
async fn fresh_ids(connection: &mut SqliteConnection, count: u32) -> Result<Vec<AccountId>, StoreError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let last = bound(connection, sql::LAST_ACCOUNT, [], keys_rows::account_id).await?;
    let last = last.first().copied().unwrap_or_default();
    Ok((1..=i64::from(count)).map(|number| last.saturating_add(number)).collect())
}

/// Writes all of `plan`, in the open transaction.
pub(super) async fn write(connection: &mut SqliteConnection, plan: &Plan) -> Result<(), StoreError> {
    let (new_workspaces, old_workspaces) = parted(&plan.workspaces);
    let (new_accounts, old_accounts) = parted(&plan.accounts);
    let (new_leases, old_leases) = parted(&plan.leases);
    let (new_leases, old_leases) = (shared(new_leases), shared(old_leases));
    let balances: Vec<&(Text, Option<i64>)> = plan.balances.iter().collect();
    let audit: Vec<&AuditLine> = plan.audit.iter().collect();
    let (mut new_keys, mut old_keys, mut reseals) = (Vec::new(), Vec::new(), Vec::new());
    for write in &plan.keys {
        match write {
            KeyWrite::Put(Change::Insert, key) => new_keys.push(key),
            KeyWrite::Put(Change::Update, key) => old_keys.push(key),
            KeyWrite::Reseal(reseal) => reseals.push(reseal),
        }
    }

    rows(connection, "adding workspaces", &sql::INSERT_WORKSPACES, &new_workspaces, workspace).await?;
    rows(connection, "changing workspaces", &sql::UPDATE_WORKSPACES, &old_workspaces, workspace).await?;
    rows(connection, "adding accounts", &sql::INSERT_ACCOUNTS, &new_accounts, new_account).await?;
    rows(connection, "changing accounts", &sql::UPDATE_ACCOUNTS, &old_accounts, account).await?;
    // A workspace may have lost its last account.
    rows_that_fit(connection, "writing balances", &sql::UPDATE_BALANCES, &balances, balance).await?;
    rows(connection, "adding keys", &sql::INSERT_ACCOUNT_KEYS, &new_keys, new_key).await?;
    rows(connection, "changing keys", &sql::UPDATE_ACCOUNT_KEYS, &old_keys, key).await?;
    rows_that_fit(connection, "sealing keys anew", &sql::RESEAL_ACCOUNT_KEYS, &reseals, reseal).await?;
    rows(connection, "changing leases", &sql::UPDATE_LEASES, &old_leases, lease).await?;
    rows(connection, "adding leases", &sql::INSERT_LEASES, &new_leases, new_lease).await?;
    rows(connection, "adding to the audit log", &sql::INSERT_AUDIT_LOG, &audit, audit_line).await
}

/// All workspaces, accounts and slots taken, in a transaction that sees one moment.
pub(super) async fn pool(
    connection: &mut SqliteConnection,
    now: Micros,
    with_deleted: bool,
) -> Result<PoolRows, StoreError> {
    let with_deleted = Text::from(if with_deleted { "1" } else { "0" });
    Ok(PoolRows {
        now,
        workspaces: bound(connection, sql::POOL_WORKSPACES, [], keys_rows::workspace).await?,
        accounts: bound(connection, sql::POOL_ACCOUNTS, [with_deleted], keys_rows::account).await?,
        usage: bound(connection, sql::POOL_USAGE, [], keys_rows::usage).await?,
    })
}

async fn bound<T, const N: usize>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    texts: [Text; N],
    row: fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, StoreError> {
    let statement = texts.into_iter().fold(sqlx::query(sql), |statement, text| statement.bind(text));
    let found = statement.fetch_all(connection).await.map_err(|error| store_error(WHAT, error))?;
    found.iter().map(row).collect::<Result<_, _>>().map_err(|error| store_error(WHAT, error))
}

fn json<K: serde::Serialize>(keys: &[K]) -> Result<Text, StoreError> {
    serde_json::to_string(keys).map(Text::from).map_err(|error| bug(WHAT, error))
}

/// New rows, and those that replace one.
fn parted<T>(writes: &[(Change, T)]) -> (Vec<&T>, Vec<&T>) {
    let of =
        |wanted: Change| writes.iter().filter(|(change, _)| *change == wanted).map(|(_, row)| row).collect();
    (of(Change::Insert), of(Change::Update))
}

fn shared<T>(rows: Vec<&Arc<T>>) -> Vec<&T> {
    rows.into_iter().map(AsRef::as_ref).collect()
}

fn workspace(cells: &mut Cells, row: &Workspace) {
    let (circuit, vitals) = (&row.circuit, &row.vitals);
    // The moment 0 is that of no report.
    let heard = |moment: Micros| (moment != Micros::default()).then_some(moment);
    cells.text(&row.workspace);
    circuit_cells(cells, circuit);
    cells.put(vitals.error_permille);
    cells.put(vitals.latency_micros);
    cells.optional_time(heard(vitals.report_time));
    cells.put(vitals.streak);
    cells.optional_time(heard(vitals.streak_start));
    cells.put(vitals.last_failure.map(|(cause, _)| Text::from(cause.as_str())));
    cells.optional_time(vitals.last_failure.map(|(_, time)| time));
    cells.optional_time(vitals.last_success);
}

fn circuit_cells(cells: &mut Cells, circuit: &Circuit) {
    let out = circuit.out.as_ref();
    cells.put(out.map(|out| Text::from(out.cause.as_str())));
    cells.optional_time(out.map(|out| out.since));
    cells.optional_time(out.map(|out| out.until));
    cells.optional_text(out.and_then(|out| out.probe.as_ref()));
    cells.put(circuit.strikes);
    cells.optional_time(circuit.return_time);
}

fn new_account(cells: &mut Cells, row: &Account) {
    account(cells, row);
    cells.time(row.create_time);
}

fn account(cells: &mut Cells, row: &Account) {
    cells.put(row.account_id);
    cells.text(&row.name);
    cells.text(&row.workspace);
    cells.text(&row.key_id);
    cells.optional_text(row.billing_key_id.as_ref());
    cells.word(row.status.as_str());
    cells.put(i64::from(row.status == AccountStatus::Enabled));
    cells.put(row.max_concurrency);
    cells.put(row.priority);
    cells.put(row.weight);
    cells.put(row.allowed_apps.to_json());
    cells.text(&row.remark);
    cells.put(row.use_cnt);
    cells.put(row.error_cnt);
    cells.time(row.update_time);
    circuit_cells(cells, &row.key);
}

fn balance(cells: &mut Cells, (workspace, balance_nano_usd): &(Text, Option<i64>)) {
    cells.text(workspace);
    cells.put(*balance_nano_usd);
}

fn new_key(cells: &mut Cells, row: &AccountKey) {
    key(cells, row);
    cells.time(row.create_time);
}

fn key(cells: &mut Cells, row: &AccountKey) {
    cells.put(row.account_id);
    cells.word(row.purpose.as_str());
    cells.text(&row.key_id);
    sealed(cells, row.sealed.as_ref());
    cells.optional_time(row.retire_time);
}

fn reseal(cells: &mut Cells, row: &Reseal) {
    cells.put(row.account_id);
    cells.word(row.purpose.as_str());
    cells.text(&row.key_id);
    sealed(cells, Some(&row.before));
    sealed(cells, Some(&row.after));
}

fn sealed(cells: &mut Cells, sealed: Option<&Sealed>) {
    cells.optional_text(sealed.map(|sealed| &sealed.kek_id));
    cells.put(sealed.map(|sealed| sealed.bytes.to_vec()));
}

fn new_lease(cells: &mut Cells, row: &Lease) {
    lease(cells, row);
    cells.put(row.account_id);
    cells.text(&row.key_id);
    cells.text(&row.runner_id);
    cells.put(row.user_id);
    cells.text(&row.task_id);
    cells.put(row.fence);
    cells.time(row.acquire_time);
    cells.put(i64::from(row.is_probe));
    cells.put(i64::from(row.is_retry));
    cells.put(row.estimated_cost_nano_usd);
}

/// What may change of a lease.
fn lease(cells: &mut Cells, row: &Lease) {
    cells.text(&row.lease_id);
    cells.time(row.expire_time);
    cells.optional_time(row.release_time);
    cells.put(row.outcome.map(|outcome| Text::from(outcome.as_str())));
}

fn audit_line(cells: &mut Cells, line: &AuditLine) {
    cells.time(line.time);
    cells.text(&line.actor);
    cells.word(line.subject.kind());
    cells.put(line.subject.name());
    cells.put(line.subject.account_id());
    cells.text(&line.reason);
    cells.put(line.changes_json());
}
