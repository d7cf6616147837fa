//! Accounts of the key pool, as operators see them.

use scrip::pb;
use tonic::Code;

use crate::keys::{SECRET, update, with_key};
use crate::on_both_stores;
use crate::support::client::{Scrip, charge, refused};

on_both_stores!(
    an_account_is_added_listed_changed_and_deleted_and_never_shows_its_secret,
    a_key_belongs_to_one_account_and_a_deleted_ones_key_brings_that_account_back,
    accounts_that_are_moved_together_share_a_limit_and_part_again,
    a_rotated_key_goes_to_new_leases_and_live_ones_keep_theirs,
    an_account_that_drains_serves_only_the_task_that_runs_on_it,
);

async fn an_account_is_added_listed_changed_and_deleted_and_never_shows_its_secret(mut scrip: Scrip) {
    let request = pb::CreateAccountRequest {
        request_id: "add-1".into(),
        name: "主账号".into(),
        api_key: format!("key-1:{SECRET}"),
        billing_api_key: format!("admin-1:{SECRET}"),
        workspace: "acme".into(),
        max_concurrency: Some(3),
        allowed_apps: vec!["fal-ai/flux/*".into()],
        balance_nano_usd: Some(5_000_000_000),
        ..Default::default()
    };
    let added = scrip.keys.create_account(request.clone()).await.unwrap().into_inner();
    let account = added.account.clone().unwrap();
    assert_eq!((account.name.as_str(), account.key_id.as_str()), ("主账号", "key-1"));
    assert_eq!(
        (account.status(), account.health()),
        (pb::AccountStatus::Enabled, pb::AccountHealth::Healthy)
    );
    assert_eq!((account.weight, account.priority, account.max_concurrency), (100, 0, 3));
    assert!(account.has_billing_api_key && account.balance_nano_usd == Some(5_000_000_000));
    let again = scrip.keys.create_account(request.clone()).await.unwrap().into_inner();
    assert!(again.replayed && again.account == added.account);
    let other = pb::CreateAccountRequest { name: "other".into(), ..request };
    refused(scrip.keys.create_account(other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");

    let id = account.account_id;
    let change = update(id, &["status", "remark", "max_concurrency"], |request| {
        let account = request.account.as_mut().unwrap();
        account.set_status(pb::AccountStatus::Disabled);
        account.remark = "paid yearly".into();
        account.max_concurrency = 9;
        account.name = "not in the mask".into();
    });
    let changed = scrip.keys.update_account(change).await.unwrap().into_inner().account.unwrap();
    assert_eq!((changed.status(), changed.max_concurrency), (pb::AccountStatus::Disabled, 9));
    assert_eq!((changed.name.as_str(), changed.remark.as_str()), ("主账号", "paid yearly"));
    assert_eq!(scrip.account_now(id).await, changed);

    scrip.account("second", 2).await;
    let list = pb::ListAccountsRequest { page_size: 1, ..Default::default() };
    let first = scrip.keys.list_accounts(list.clone()).await.unwrap().into_inner();
    assert_eq!(first.accounts[0].name, "second");
    let next = pb::ListAccountsRequest { page_token: first.next_page_token, ..list };
    let second = scrip.keys.list_accounts(next).await.unwrap().into_inner();
    assert_eq!((second.accounts[0].account_id, second.next_page_token.as_str()), (id, ""));

    let delete = pb::DeleteAccountRequest { account_id: id, reason: "closed".into(), ..Default::default() };
    scrip.keys.delete_account(delete.clone()).await.unwrap();
    let gone = scrip.keys.get_account(pb::GetAccountRequest { account_id: id }).await;
    assert_eq!(refused(gone, Code::NotFound, "ACCOUNT_NOT_FOUND")["id"], id.to_string());
    refused(scrip.keys.delete_account(delete).await, Code::NotFound, "ACCOUNT_NOT_FOUND");
    let left = scrip.keys.list_accounts(pb::ListAccountsRequest::default()).await.unwrap().into_inner();
    assert_eq!(left.accounts.len(), 1);
    assert!(!format!("{added:?}{changed:?}{left:?}").contains(SECRET));
    scrip.clean().await;
}

async fn a_key_belongs_to_one_account_and_a_deleted_ones_key_brings_that_account_back(mut scrip: Scrip) {
    let first = scrip.account("a", 2).await;
    let same =
        pb::CreateAccountRequest { name: "b".into(), api_key: "key-a:other".into(), ..Default::default() };
    let taken = refused(scrip.keys.create_account(same.clone()).await, Code::AlreadyExists, "ACCOUNT_EXISTS");
    assert_eq!(taken["key_id"], "key-a");
    let delete = pb::DeleteAccountRequest { account_id: first.account_id, ..Default::default() };
    scrip.keys.delete_account(delete).await.unwrap();
    let back = scrip.keys.create_account(same).await.unwrap().into_inner().account.unwrap();
    assert_eq!((back.account_id, back.name.as_str()), (first.account_id, "b"));
    scrip.with_points(7, 100).await;
    scrip.free_task("job").await;
    assert_eq!(scrip.select("job", "r").await.api_key, "key-a:other");
}

async fn accounts_that_are_moved_together_share_a_limit_and_part_again(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let first = scrip.account("a", 1).await;
    let second = scrip.account("b", 1).await;
    let to = |account: &pb::Account, workspace: &str| {
        update(account.account_id, &["workspace"], |request| {
            request.account.as_mut().unwrap().workspace = workspace.into();
        })
    };
    scrip.keys.update_account(to(&first, "team")).await.unwrap();
    scrip.keys.update_account(to(&second, "team")).await.unwrap();
    scrip.billing.charge(with_key(charge(7, "one", 1))).await.unwrap();
    let full = scrip.billing.charge(with_key(charge(7, "two", 1))).await;
    assert_eq!(refused(full, Code::ResourceExhausted, "NO_KEY_AVAILABLE")["why"], "all_busy");
    // Each has its own again, and one of them is free.
    let parted = scrip.keys.update_account(to(&second, "")).await.unwrap().into_inner().account.unwrap();
    assert_eq!(parted.workspace, "key-b");
    scrip.keys.update_account(to(&first, "")).await.unwrap();
    scrip.billing.charge(with_key(charge(7, "two", 1))).await.unwrap();
    scrip.clean().await;
}

async fn a_rotated_key_goes_to_new_leases_and_live_ones_keep_theirs(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 2).await.account_id;
    let old = with_key(charge(7, "old", 1));
    scrip.billing.charge(old.clone()).await.unwrap();
    let rotate = update(account, &["api_key"], |request| request.api_key = "key-new:fresh".into());
    let rotated = scrip.keys.update_account(rotate).await.unwrap().into_inner().account.unwrap();
    assert_eq!(rotated.key_id, "key-new");
    let new = scrip.billing.charge(with_key(charge(7, "new", 1))).await.unwrap().into_inner().lease.unwrap();
    assert_eq!(new.api_key, "key-new:fresh");
    let kept = scrip.billing.charge(old.clone()).await.unwrap().into_inner().lease.unwrap();
    assert_eq!(kept.api_key, format!("key-a:{SECRET}"));
    // A key that was replaced is no longer to be blamed on the account.
    let refused_key =
        pb::ReleaseKeyRequest { lease_id: kept.lease_id, http_status: 401, ..Default::default() };
    let health = scrip.keys.release_key(refused_key).await.unwrap().into_inner().account_health();
    assert_eq!(health, pb::AccountHealth::Healthy);
    let other = scrip.account("b", 2).await.account_id;
    let stolen = update(other, &["api_key"], |request| request.api_key = "key-a:theirs".into());
    refused(scrip.keys.update_account(stolen).await, Code::AlreadyExists, "ACCOUNT_EXISTS");
    scrip.clean().await;
}

async fn an_account_that_drains_serves_only_the_task_that_runs_on_it(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 5).await.account_id;
    let lease =
        scrip.billing.charge(with_key(charge(7, "job", 1))).await.unwrap().into_inner().lease.unwrap();
    let start = pb::StartTaskRequest {
        task_id: "job".into(),
        online_task_id: "fal-1".into(),
        lease_id: lease.lease_id.clone(),
        ..Default::default()
    };
    scrip.tasks.start_task(start).await.unwrap();
    scrip.release(&lease, pb::LeaseOutcome::RunnerCanceled).await;
    let drain = update(account, &["status"], |request| {
        request.account.as_mut().unwrap().set_status(pb::AccountStatus::Draining);
    });
    scrip.keys.update_account(drain).await.unwrap();
    let polling = scrip.select("job", "another runner").await;
    assert_eq!((polling.account_id, polling.fence), (account, 2));
    scrip.free_task("new").await;
    let none = scrip.try_select("new", "r").await;
    assert_eq!(refused(none, Code::ResourceExhausted, "NO_KEY_AVAILABLE")["why"], "none_enabled");
}
