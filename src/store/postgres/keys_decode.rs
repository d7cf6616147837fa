//! Rows of the key pool as its types. A word this release does not know is an error that names its table and column.

use sqlx::postgres::PgRow;

use super::decode::{Columns, Decoded};
use crate::keypool::{
    Account, AccountKey, AccountStatus, AllowList, Cause, Circuit, Lease, LeaseOutcome, Out, Purpose, Sealed,
    Vitals, Workspace,
};
use crate::ledger::{Micros, Text};
use crate::store::rows::Usage;
use crate::store::{AccountRecord, AuditRecord, LeaseRecord};

const WORKSPACES: &str = "reading scrip_workspaces";
const ACCOUNTS: &str = "reading ts_fal_account";
const KEYS: &str = "reading scrip_account_keys";
const LEASES: &str = "reading scrip_leases";

/// The columns of a circuit: a workspace's, or those of an account's key.
struct CircuitColumns {
    cause: &'static str,
    since: &'static str,
    until: &'static str,
    probe: &'static str,
    strikes: &'static str,
    returned: &'static str,
}

const OF_WORKSPACE: CircuitColumns = CircuitColumns {
    cause: "out_cause",
    since: "out_since",
    until: "out_until",
    probe: "probe_lease_id",
    strikes: "strikes",
    returned: "returned_at",
};

const OF_KEY: CircuitColumns = CircuitColumns {
    cause: "key_out_cause",
    since: "key_out_since",
    until: "key_out_until",
    probe: "key_probe_lease_id",
    strikes: "key_strikes",
    returned: "key_returned_at",
};

/// A row of `scrip_workspaces`; its credit stands in its accounts.
pub(super) fn workspace(row: &PgRow) -> Decoded<Workspace> {
    let row = Columns::new(row, WORKSPACES);
    let last_failure = row.word_or_null("last_failure", Cause::parse)?;
    Ok(Workspace {
        workspace: row.text("workspace")?,
        balance_nano_usd: None,
        circuit: circuit(&row, &OF_WORKSPACE)?,
        vitals: Vitals {
            error_permille: row.count("error_permille", row.get::<i32>("error_permille")?)?,
            latency_micros: row.get("latency_micros")?,
            report_time: row.moment_or_null("reported_at")?.unwrap_or_default(),
            streak: row.count("streak", row.get::<i64>("streak")?)?,
            streak_start: row.moment_or_null("streak_started_at")?.unwrap_or_default(),
            last_failure: last_failure.zip(row.moment_or_null("last_failure_at")?),
            last_success: row.moment_or_null("last_success_at")?,
        },
    })
}

/// A row of `scrip_workspaces` with its credit.
pub(super) fn workspace_with_balance(row: &PgRow) -> Decoded<Workspace> {
    let balance_nano_usd = Columns::new(row, ACCOUNTS).get("balance_nano_usd")?;
    Ok(Workspace { balance_nano_usd, ..workspace(row)? })
}

/// What the open leases of a workspace take; `None` where there are none.
pub(super) fn usage(row: &PgRow) -> Decoded<Option<Usage>> {
    let row = Columns::new(row, LEASES);
    let Some(in_use) = row.get::<Option<i64>>("in_use")? else { return Ok(None) };
    Ok(Some(Usage {
        workspace: row.text("workspace")?,
        in_flight: row.count("in_use", in_use)?,
        committed_nano_usd: row.get("committed_nano_usd")?,
    }))
}

/// A row of `ts_fal_account`.
pub(super) fn account(row: &PgRow) -> Decoded<Account> {
    let row = Columns::new(row, ACCOUNTS);
    Ok(Account {
        account_id: row.get("id")?,
        name: row.text("name")?,
        workspace: row.text("workspace")?,
        key_id: row.text("api_key")?,
        billing_key_id: row.text_or_null("billing_key_id")?,
        status: row.word("state", AccountStatus::parse)?,
        max_concurrency: row.count("max_concurrency", row.get::<i32>("max_concurrency")?)?,
        priority: row.get("priority")?,
        weight: row.count("weight", row.get::<i32>("weight")?)?,
        allowed_apps: row.word("allowed_apps", AllowList::from_json)?,
        remark: row.text("remark")?,
        use_cnt: row.get("use_cnt")?,
        error_cnt: row.get("error_cnt")?,
        create_time: row.moment("created_at")?,
        update_time: row.moment("updated_at")?,
        key: circuit(&row, &OF_KEY)?,
    })
}

/// An account with its workspace and its own open leases.
pub(super) fn account_record(row: &PgRow) -> Decoded<AccountRecord> {
    let columns = Columns::new(row, ACCOUNTS);
    Ok(AccountRecord {
        account: account(row)?,
        workspace: workspace_with_balance(row)?,
        in_flight: columns.count("in_flight", columns.get::<i64>("in_flight")?)?,
    })
}

fn circuit(row: &Columns<'_>, names: &CircuitColumns) -> Decoded<Circuit> {
    let out = match row.word_or_null(names.cause, Cause::parse)? {
        None => None,
        Some(cause) => Some(Out {
            cause,
            since: row.moment(names.since)?,
            until: row.moment(names.until)?,
            probe: row.text_or_null(names.probe)?,
        }),
    };
    let strikes = row.count(names.strikes, row.get::<i64>(names.strikes)?)?;
    Ok(Circuit { out, strikes, return_time: row.moment_or_null(names.returned)? })
}

/// A row of `scrip_account_keys`.
pub(super) fn account_key(row: &PgRow) -> Decoded<AccountKey> {
    let columns = Columns::new(row, KEYS);
    Ok(AccountKey {
        account_id: columns.get("account_id")?,
        purpose: columns.word("purpose", Purpose::parse)?,
        key_id: columns.text("key_id")?,
        sealed: sealed(&columns)?,
        create_time: columns.moment("key_created_at")?,
        retire_time: columns.moment_or_null("key_retired_at")?,
    })
}

fn sealed(row: &Columns<'_>) -> Decoded<Option<Sealed>> {
    let kek_id: Option<Text> = row.text_or_null("kek_id")?;
    let bytes: Option<&[u8]> = row.get("sealed")?;
    Ok(kek_id.zip(bytes).map(|(kek_id, bytes)| Sealed { kek_id, bytes: bytes.into() }))
}

/// A row of `scrip_leases`.
pub(super) fn lease(row: &PgRow) -> Decoded<Lease> {
    let row = Columns::new(row, LEASES);
    Ok(Lease {
        lease_id: row.text("lease_id")?,
        account_id: row.get("account_id")?,
        key_id: row.text("key_id")?,
        runner_id: row.text("runner_id")?,
        user_id: row.get("user_id")?,
        task_id: row.text("task_id")?,
        fence: row.get("fence")?,
        acquire_time: row.moment("acquired_at")?,
        expire_time: row.moment("expires_at")?,
        release_time: row.moment_or_null("released_at")?,
        outcome: row.word_or_null("outcome", LeaseOutcome::parse)?,
        is_probe: row.get("is_probe")?,
        is_retry: row.get("is_retry")?,
        estimated_cost_nano_usd: row.get("estimated_cost_nano_usd")?,
    })
}

/// A lease with its account's name and its key.
pub(super) fn lease_record(row: &PgRow) -> Decoded<LeaseRecord> {
    let account_name = Columns::new(row, ACCOUNTS).text("name")?;
    Ok(LeaseRecord { lease: lease(row)?, account_name, key: sealed(&Columns::new(row, KEYS))? })
}

/// The name of a lease.
pub(super) fn lease_id(row: &PgRow) -> Decoded<Text> {
    Columns::new(row, LEASES).text("lease_id")
}

/// A row of `scrip_audit_log`.
pub(super) fn audit_record(row: &PgRow) -> Decoded<AuditRecord> {
    let row = Columns::new(row, "reading scrip_audit_log");
    Ok(AuditRecord {
        id: row.get("id")?,
        time: row.moment("at")?,
        actor: row.text("actor")?,
        subject_kind: row.text("subject_kind")?,
        subject: row.text("subject")?,
        account_id: row.get("account_id")?,
        reason: row.text("reason")?,
        changes: row.text("changes")?,
    })
}

/// The whole pool, of rows that each carry the moment, a workspace, what it has in use, and one account of it.
pub(super) fn pool(rows: &[PgRow], now: Micros) -> Decoded<crate::store::PoolRows> {
    let mut pool = crate::store::PoolRows { now, ..Default::default() };
    for row in rows {
        let columns = Columns::new(row, WORKSPACES);
        let Some(name) = columns.get::<Option<&str>>("workspace")? else { continue };
        if pool.workspaces.last().is_none_or(|last: &Workspace| &*last.workspace != name) {
            pool.workspaces.push(workspace_with_balance(row)?);
            pool.usage.extend(usage(row)?);
        }
        if columns.get::<Option<i64>>("id")?.is_some() {
            pool.accounts.push(account(row)?);
        }
    }
    Ok(pool)
}
