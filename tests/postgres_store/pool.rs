//! Rows of the key pool for tests, and batches that touch nothing else.

use std::collections::BTreeSet;

use scrip::keypool::{
    Account, AccountId, AccountKey, AccountStatus, AllowList, Circuit, KeyWrite, Lease, LeaseOutcome,
    Purpose, Sealed, Workspace,
};
use scrip::ledger::{Change, Micros};
use scrip::store::{Failure, StoreError};
use scrip::{keypool, store};

use super::support::postgres::connect;
use super::*;

/// One second, in microseconds.
pub(super) const S: i64 = 1_000_000;

/// A moment of the rows written here: what they say is not judged by the database's clock.
pub(super) const T: Micros = Micros(1_700_000_000_000_123);

pub(super) fn account(account_id: AccountId, workspace: &str) -> Account {
    Account {
        account_id,
        name: format!("账户 {account_id}").into(),
        workspace: text(workspace),
        key_id: format!("key-{account_id}").into(),
        billing_key_id: None,
        status: AccountStatus::Enabled,
        max_concurrency: 2,
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: text(""),
        use_cnt: 0,
        error_cnt: 0,
        create_time: T,
        update_time: T,
        key: Circuit::default(),
    }
}

pub(super) fn sealed(bytes: &str) -> Sealed {
    Sealed { kek_id: text("kek-1"), bytes: bytes.as_bytes().into() }
}

pub(super) fn key(account_id: AccountId, key_id: &str) -> AccountKey {
    AccountKey {
        account_id,
        purpose: Purpose::Lease,
        key_id: text(key_id),
        sealed: Some(sealed(key_id)),
        create_time: T,
        retire_time: None,
    }
}

pub(super) fn lease(lease_id: &str, account_id: AccountId, task_id: &str, fence: i64) -> Lease {
    Lease {
        lease_id: text(lease_id),
        account_id,
        key_id: format!("key-{account_id}").into(),
        runner_id: text("runner"),
        user_id: 1,
        task_id: text(task_id),
        fence,
        acquire_time: T,
        expire_time: T.plus(600 * S),
        release_time: None,
        outcome: None,
        is_probe: false,
        is_retry: false,
        estimated_cost_nano_usd: 40,
    }
}

pub(super) fn closed(lease: Lease) -> Lease {
    Lease { release_time: Some(T.plus(S)), outcome: Some(LeaseOutcome::Succeeded), ..lease }
}

/// A plan of new rows: accounts, each with its key and, where it is new, its workspace; and leases.
pub(super) fn rows(accounts: &[Account], leases: &[Lease]) -> keypool::Plan {
    let names: BTreeSet<&Text> = accounts.iter().map(|account| &account.workspace).collect();
    let workspaces = names.into_iter().map(|name| Workspace::new(Arc::clone(name)));
    let keys = accounts.iter().map(|account| key(account.account_id, &account.key_id));
    keypool::Plan {
        workspaces: workspaces.map(|row| (Change::Insert, row)).collect(),
        accounts: accounts.iter().map(|row| (Change::Insert, row.clone())).collect(),
        keys: keys.map(|key| KeyWrite::Put(Change::Insert, key)).collect(),
        leases: leases.iter().map(|row| (Change::Insert, Arc::new(row.clone()))).collect(),
        ..keypool::Plan::default()
    }
}

pub(super) fn set(names: &[&str]) -> BTreeSet<Text> {
    names.iter().map(|name| text(name)).collect()
}

/// A footprint that names workspaces.
pub(super) fn naming(workspaces: &[&str]) -> keypool::Footprint {
    keypool::Footprint { workspaces: set(workspaces), ..keypool::Footprint::default() }
}

/// Runs a batch of the pool alone, and answers what it read, if it came that far.
pub(super) async fn transact(
    writer: &mut dyn Writer,
    keys: keypool::Footprint,
    mut decide: impl FnMut(&keypool::Snapshot) -> keypool::Plan + Send,
) -> (Transacted, Option<keypool::Snapshot>) {
    let footprint = store::Footprint { keys, ..store::Footprint::default() };
    let mut read = None;
    let mut deciding = |snapshot: store::Snapshot| {
        assert_eq!(snapshot.keys.now, snapshot.ledger.now, "one moment for both rooms");
        let keys = decide(&snapshot.keys);
        read = Some(snapshot.keys);
        store::Plan { keys, ..store::Plan::default() }
    };
    let ended = writer.transact(batch_id(), Run::First, &footprint, &mut deciding).await;
    (ended, read)
}

/// Writes a plan and expects it to be committed.
pub(super) async fn write(writer: &mut dyn Writer, plan: keypool::Plan) {
    let (ended, _) = transact(writer, naming(&["none"]), |_| plan.clone()).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
}

/// What a batch of that footprint reads.
pub(super) async fn read(writer: &mut dyn Writer, keys: keypool::Footprint) -> keypool::Snapshot {
    let (ended, read) = transact(writer, keys, |_| keypool::Plan::default()).await;
    assert!(matches!(ended, Transacted::Committed), "{ended:?}");
    read.unwrap()
}

/// Whether the store asks to decide again.
pub(super) fn is_again(ended: &Transacted) -> bool {
    matches!(ended, Transacted::NotCommitted(Failure::Again(StoreError::Conflict { .. })))
}

/// Runs statements behind the store's back.
pub(super) async fn execute(url: &str, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connect(url).await).await.unwrap();
}
