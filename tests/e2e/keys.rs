//! Leases, as runners see them.

use scrip::pb;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::on_both_stores;
use crate::support::client::{Scrip, authorize, charge, refused, refused_fields};
use crate::support::eventually;

on_both_stores!(
    a_charge_takes_its_key_in_the_same_commit_or_nothing_is_charged,
    a_replay_answers_the_lease_as_it_is_now_and_only_to_a_call_that_asks_for_a_key,
    a_task_is_settled_with_its_lease_in_one_commit,
    a_runner_that_takes_a_task_over_outranks_the_one_before,
    a_lease_that_was_superseded_on_another_workspace_is_told_as_such,
    a_lease_is_extended_given_back_once_and_reported_on_once,
    a_rate_limited_account_is_left_alone_and_a_callers_mistake_bans_nobody,
    callers_who_wait_get_the_key_one_after_the_other_as_it_is_given_back,
    a_hold_lives_as_long_as_its_tasks_lease,
    bad_input_is_refused_by_name_and_changes_nothing,
);

pub(crate) const SECRET: &str = "s3cret-canary";

impl Scrip {
    pub(crate) async fn account(&mut self, name: &str, max_concurrency: i32) -> pb::Account {
        let request = pb::CreateAccountRequest {
            name: name.into(),
            api_key: format!("key-{name}:{SECRET}"),
            max_concurrency: Some(max_concurrency),
            ..Default::default()
        };
        self.keys.create_account(request).await.unwrap().into_inner().account.unwrap()
    }

    pub(crate) async fn account_now(&mut self, account_id: i64) -> pb::Account {
        let request = pb::GetAccountRequest { account_id };
        self.keys.get_account(request).await.unwrap().into_inner().account.unwrap()
    }

    /// A pending task of user 7, free of charge.
    pub(crate) async fn free_task(&mut self, task_id: &str) {
        self.charge(7, task_id, 0).await;
    }

    pub(crate) async fn try_select(
        &mut self,
        task_id: &str,
        runner_id: &str,
    ) -> Result<pb::SelectKeyResponse, Status> {
        let request = pb::SelectKeyRequest {
            task_id: task_id.into(),
            runner_id: runner_id.into(),
            ..Default::default()
        };
        self.keys.select_key(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn select(&mut self, task_id: &str, runner_id: &str) -> pb::KeyLease {
        self.try_select(task_id, runner_id).await.unwrap().lease.unwrap()
    }

    pub(crate) async fn release(
        &mut self,
        lease: &pb::KeyLease,
        outcome: pb::LeaseOutcome,
    ) -> pb::ReleaseKeyResponse {
        let request = pb::ReleaseKeyRequest {
            lease_id: lease.lease_id.clone(),
            outcome: outcome.into(),
            ..Default::default()
        };
        self.keys.release_key(request).await.unwrap().into_inner()
    }

    pub(crate) async fn clean(&self) {
        let (code, said) = self.verify().await;
        assert_eq!(code, Some(0), "{said}");
    }
}

pub(crate) fn update(
    account_id: i64,
    paths: &[&str],
    change: impl FnOnce(&mut pb::UpdateAccountRequest),
) -> pb::UpdateAccountRequest {
    let mut request = pb::UpdateAccountRequest {
        account: Some(pb::Account { account_id, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|&path| path.into()).collect() }),
        reason: "a test".into(),
        ..Default::default()
    };
    change(&mut request);
    request
}

pub(crate) fn with_key(request: pb::ChargeRequest) -> pb::ChargeRequest {
    pb::ChargeRequest { select_key: Some(pb::KeySelection::default()), ..request }
}

async fn a_charge_takes_its_key_in_the_same_commit_or_nothing_is_charged(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let none = scrip.billing.charge(with_key(charge(7, "early", 10))).await;
    let why = refused(none, Code::ResourceExhausted, "NO_KEY_AVAILABLE");
    assert_eq!(why["why"], "none_enabled");
    let account = scrip.account("a", 1).await;
    let charged = scrip.billing.charge(with_key(charge(7, "job", 10))).await.unwrap().into_inner();
    let lease = charged.lease.unwrap();
    assert_eq!((lease.api_key.as_str(), lease.account_name.as_str()), ("key-a:s3cret-canary", "a"));
    assert_eq!((lease.fence, lease.state()), (1, pb::LeaseState::Active));
    let task = charged.task.unwrap();
    assert_eq!((task.key_id.as_str(), task.lease_id), ("key-a", lease.lease_id));

    let busy = scrip.billing.charge(with_key(charge(7, "other", 10))).await;
    assert_eq!(refused(busy, Code::ResourceExhausted, "NO_KEY_AVAILABLE")["why"], "all_busy");
    let held =
        pb::AuthorizeRequest { select_key: Some(pb::KeySelection::default()), ..authorize(7, "held", 10) };
    refused(scrip.billing.authorize(held).await, Code::ResourceExhausted, "NO_KEY_AVAILABLE");
    // A broke user takes no slot, either.
    let broke = scrip.billing.charge(with_key(charge(7, "dear", 1_000))).await;
    refused(broke, Code::FailedPrecondition, "INSUFFICIENT_BALANCE");
    let balance = scrip.balance(7).await;
    assert_eq!((balance.total, balance.held), (90, Some(0)));
    let account = scrip.account_now(account.account_id).await;
    assert_eq!((account.in_flight, account.use_cnt), (1, 1));
    scrip.clean().await;
}

async fn a_replay_answers_the_lease_as_it_is_now_and_only_to_a_call_that_asks_for_a_key(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.account("a", 2).await;
    let request = pb::ChargeRequest { request_id: "r-1".into(), ..with_key(charge(7, "job", 10)) };
    let first = scrip.billing.charge(request.clone()).await.unwrap().into_inner().lease.unwrap();
    for again in [request.clone(), with_key(charge(7, "job", 10))] {
        let replay = scrip.billing.charge(again).await.unwrap().into_inner();
        assert!(replay.replayed);
        assert_eq!(replay.lease.as_ref(), Some(&first));
    }
    let bare = pb::ChargeRequest { select_key: None, ..request.clone() };
    assert_eq!(scrip.billing.charge(bare).await.unwrap().into_inner().lease, None);
    scrip.release(&first, pb::LeaseOutcome::Succeeded).await;
    let replay = scrip.billing.charge(request).await.unwrap().into_inner().lease.unwrap();
    assert_eq!((replay.state(), replay.api_key.as_str()), (pb::LeaseState::Released, ""));
    assert_eq!(replay.lease_id, first.lease_id);
}

async fn a_task_is_settled_with_its_lease_in_one_commit(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 2).await.account_id;
    let done =
        scrip.billing.charge(with_key(charge(7, "done", 10))).await.unwrap().into_inner().lease.unwrap();
    let failed =
        scrip.billing.charge(with_key(charge(7, "failed", 10))).await.unwrap().into_inner().lease.unwrap();
    assert_eq!(scrip.account_now(account).await.in_flight, 2);

    let start = pb::StartTaskRequest {
        task_id: "done".into(),
        online_task_id: "fal-1".into(),
        lease_id: done.lease_id.clone(),
        ..Default::default()
    };
    let task = scrip.tasks.start_task(start).await.unwrap().into_inner().task.unwrap();
    assert_eq!((task.key_id.as_str(), &task.lease_id), ("key-a", &done.lease_id));
    let wrong = pb::CompleteTaskRequest {
        task_id: "done".into(),
        lease_id: failed.lease_id.clone(),
        ..Default::default()
    };
    refused_fields(scrip.tasks.complete_task(wrong.clone()).await, &["lease_id"]);
    let unknown = pb::CompleteTaskRequest { lease_id: "nobody's".into(), ..wrong.clone() };
    refused(scrip.tasks.complete_task(unknown).await, Code::NotFound, "LEASE_NOT_FOUND");
    assert_eq!(scrip.account_now(account).await.in_flight, 2);

    let complete = pb::CompleteTaskRequest { lease_id: done.lease_id.clone(), ..wrong };
    assert!(!scrip.tasks.complete_task(complete.clone()).await.unwrap().into_inner().replayed);
    assert!(scrip.tasks.complete_task(complete).await.unwrap().into_inner().replayed);
    let fail = pb::FailTaskRequest {
        task_id: "failed".into(),
        online_task_id: "fal-2".into(),
        error: "it broke".into(),
        lease_id: failed.lease_id.clone(),
        http_status: 503,
        ..Default::default()
    };
    assert_eq!(scrip.tasks.fail_task(fail).await.unwrap().into_inner().balance.unwrap().total, 90);
    let now = scrip.account_now(account).await;
    assert_eq!((now.in_flight, now.use_cnt, now.error_cnt), (0, 2, 1));
    scrip.clean().await;
}

async fn a_runner_that_takes_a_task_over_outranks_the_one_before(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 1).await.account_id;
    scrip.free_task("job").await;
    let first = scrip.select("job", "runner-1").await;
    let again = scrip.try_select("job", "runner-1").await.unwrap();
    assert!(again.replayed && again.lease.as_ref() == Some(&first));
    let second = scrip.select("job", "runner-2").await;
    assert_eq!((first.fence, second.fence), (1, 2));
    assert_eq!(scrip.account_now(account).await.in_flight, 1);

    let start = |lease: &pb::KeyLease| pb::StartTaskRequest {
        task_id: "job".into(),
        lease_id: lease.lease_id.clone(),
        ..Default::default()
    };
    let late =
        refused(scrip.tasks.start_task(start(&first)).await, Code::FailedPrecondition, "LEASE_SUPERSEDED");
    assert_eq!(late["lease_id"], first.lease_id);
    let renew = pb::RenewLeaseRequest { lease_id: first.lease_id.clone(), ttl: None };
    refused(scrip.keys.renew_lease(renew).await, Code::FailedPrecondition, "LEASE_SUPERSEDED");
    let fail =
        pb::FailTaskRequest { task_id: "job".into(), lease_id: first.lease_id.clone(), ..Default::default() };
    refused(scrip.tasks.fail_task(fail).await, Code::FailedPrecondition, "LEASE_SUPERSEDED");
    scrip.tasks.start_task(start(&second)).await.unwrap();
    // It did end well, whoever says so.
    let complete = pb::CompleteTaskRequest {
        task_id: "job".into(),
        lease_id: first.lease_id.clone(),
        ..Default::default()
    };
    scrip.tasks.complete_task(complete).await.unwrap();
    assert_eq!(scrip.account_now(account).await.in_flight, 1);
    scrip.release(&second, pb::LeaseOutcome::RunnerCanceled).await;
    let ended = scrip.try_select("job", "runner-3").await;
    refused(ended, Code::FailedPrecondition, "TASK_STATE_CONFLICT");
    scrip.clean().await;
}

async fn a_lease_that_was_superseded_on_another_workspace_is_told_as_such(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let first = scrip.account("a", 5).await.account_id;
    scrip.free_task("job").await;
    let old = scrip.select("job", "runner-1").await;
    let disable = update(first, &["status"], |request| {
        request.account.as_mut().unwrap().set_status(pb::AccountStatus::Disabled);
    });
    scrip.keys.update_account(disable).await.unwrap();
    scrip.account("b", 5).await;
    let new = scrip.select("job", "runner-2").await;
    assert_eq!((new.fence, new.account_name.as_str()), (2, "b"));
    let renew = pb::RenewLeaseRequest { lease_id: old.lease_id.clone(), ttl: None };
    refused(scrip.keys.renew_lease(renew).await, Code::FailedPrecondition, "LEASE_SUPERSEDED");
    let start =
        pb::StartTaskRequest { task_id: "job".into(), lease_id: old.lease_id.clone(), ..Default::default() };
    refused(scrip.tasks.start_task(start).await, Code::FailedPrecondition, "LEASE_SUPERSEDED");
    assert!(scrip.release(&old, pb::LeaseOutcome::Succeeded).await.replayed);
    scrip.clean().await;
}

async fn a_lease_is_extended_given_back_once_and_reported_on_once(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 1).await.account_id;
    scrip.free_task("job").await;
    let lease = scrip.select("job", "r").await;
    let hour = prost_types::Duration { seconds: 3_600, nanos: 0 };
    let renew = pb::RenewLeaseRequest { lease_id: lease.lease_id.clone(), ttl: Some(hour) };
    let renewed = scrip.keys.renew_lease(renew.clone()).await.unwrap().into_inner().lease.unwrap();
    let seconds = |lease: &pb::KeyLease| lease.expire_time.unwrap().seconds;
    assert!(seconds(&renewed) > seconds(&lease) + 2_000);
    let shorter = pb::RenewLeaseRequest { ttl: None, ..renew.clone() };
    let kept = scrip.keys.renew_lease(shorter).await.unwrap().into_inner().lease.unwrap();
    assert_eq!(kept.expire_time, renewed.expire_time);

    let report = pb::ReleaseKeyRequest {
        lease_id: lease.lease_id.clone(),
        outcome: pb::LeaseOutcome::Succeeded.into(),
        online_task_id: "fal-9".into(),
        latency: Some(prost_types::Duration { seconds: 4, nanos: 0 }),
        ..Default::default()
    };
    let first = scrip.keys.release_key(report.clone()).await.unwrap().into_inner();
    assert!(!first.replayed && first.account_health() == pb::AccountHealth::Healthy);
    assert_eq!(first.lease.unwrap().state(), pb::LeaseState::Released);
    assert_eq!(scrip.task("job").await.online_task_id, "fal-9");
    let other = pb::ReleaseKeyRequest { outcome: pb::LeaseOutcome::AuthFailed.into(), ..report };
    let second = scrip.keys.release_key(other).await.unwrap().into_inner();
    assert!(second.replayed && second.account_health() == pb::AccountHealth::Healthy);
    refused(scrip.keys.renew_lease(renew).await, Code::FailedPrecondition, "LEASE_EXPIRED");
    let now = scrip.account_now(account).await;
    assert_eq!((now.in_flight, now.use_cnt, now.error_cnt), (0, 1, 0));
    scrip.clean().await;
}

async fn a_rate_limited_account_is_left_alone_and_a_callers_mistake_bans_nobody(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 5).await.account_id;
    for n in 0..12 {
        scrip.free_task(&format!("wrong-{n}")).await;
        let lease = scrip.select(&format!("wrong-{n}"), "r").await;
        let report =
            pb::ReleaseKeyRequest { lease_id: lease.lease_id, http_status: 422, ..Default::default() };
        let released = scrip.keys.release_key(report).await.unwrap().into_inner();
        assert_eq!(released.account_health(), pb::AccountHealth::Healthy);
    }
    scrip.free_task("job").await;
    let lease = scrip.select("job", "r").await;
    let limited = pb::ReleaseKeyRequest {
        lease_id: lease.lease_id,
        http_status: 429,
        retry_after: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..Default::default()
    };
    let released = scrip.keys.release_key(limited).await.unwrap().into_inner();
    assert_eq!(released.account_health(), pb::AccountHealth::CoolingDown);
    let now = scrip.account_now(account).await;
    assert_eq!((now.health(), now.error_cnt), (pb::AccountHealth::CoolingDown, 1));
    assert!(now.cooldown_until_time.is_some());
    scrip.free_task("next").await;
    let cooling = scrip.try_select("next", "r").await;
    assert_eq!(refused(cooling, Code::ResourceExhausted, "NO_KEY_AVAILABLE")["why"], "cooling_down");
    // An operator who knows better brings the probe forward.
    for status in [pb::AccountStatus::Disabled, pb::AccountStatus::Enabled] {
        let change =
            update(account, &["status"], |request| request.account.as_mut().unwrap().set_status(status));
        scrip.keys.update_account(change).await.unwrap();
    }
    let probe = scrip.select("next", "r").await;
    assert_eq!(scrip.account_now(account).await.health(), pb::AccountHealth::Probing);
    let proved = scrip.release(&probe, pb::LeaseOutcome::Succeeded).await;
    assert_eq!(proved.account_health(), pb::AccountHealth::Healthy);
    scrip.clean().await;
}

async fn callers_who_wait_get_the_key_one_after_the_other_as_it_is_given_back(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.account("a", 1).await;
    let first = scrip.billing.charge(with_key(charge(7, "job-0", 1))).await.unwrap().into_inner();
    let mut lease = first.lease.unwrap();
    let mut waiting = JoinSet::new();
    for n in 1..=3 {
        let mut billing = scrip.billing.clone();
        let selection = pb::KeySelection {
            max_wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            ..Default::default()
        };
        let request = pb::ChargeRequest { select_key: Some(selection), ..charge(7, &format!("job-{n}"), 1) };
        waiting.spawn(async move { billing.charge(request).await.unwrap().into_inner().lease.unwrap() });
    }
    // Two leases in one slot at once would be refused by the limit, and show as a wait that never ends.
    for left in [2, 1, 0] {
        scrip.release(&lease, pb::LeaseOutcome::Succeeded).await;
        lease = waiting.join_next().await.unwrap().unwrap();
        assert_eq!((lease.state(), waiting.len()), (pb::LeaseState::Active, left));
    }
    let short = pb::KeySelection {
        max_wait: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
        ..Default::default()
    };
    let request = pb::ChargeRequest { select_key: Some(short), ..charge(7, "late", 1) };
    refused(scrip.billing.charge(request).await, Code::ResourceExhausted, "NO_KEY_AVAILABLE");
    assert_eq!(scrip.balance(7).await.total, 96);
    scrip.clean().await;
}

async fn a_hold_lives_as_long_as_its_tasks_lease(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    scrip.account("a", 5).await;
    let second = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let held = pb::AuthorizeRequest {
        ttl: second(1),
        select_key: Some(pb::KeySelection { ttl: second(600), ..Default::default() }),
        ..authorize(7, "kept", 40)
    };
    let lease = scrip.billing.authorize(held).await.unwrap().into_inner().lease.unwrap();
    let bare = pb::AuthorizeRequest { ttl: second(1), ..authorize(7, "let go", 40) };
    scrip.billing.authorize(bare).await.unwrap();
    eventually("the hold without a lease expires", || {
        let mut scrip = scrip.tasks.clone();
        async move {
            let request = pb::GetTaskRequest { task_id: "let go".into(), user_id: 0 };
            scrip.get_task(request).await.unwrap().into_inner().task.unwrap().status()
                == pb::TaskStatus::Canceled
        }
    })
    .await;
    assert_eq!(scrip.balance(7).await.held, Some(40));
    scrip.release(&lease, pb::LeaseOutcome::RunnerCanceled).await;
    eventually("the other follows its lease", || {
        let mut billing = scrip.billing.clone();
        async move {
            let request = pb::GetBalanceRequest { user_id: 7, as_of_time: None };
            billing.get_balance(request).await.unwrap().into_inner().balance.unwrap().held == Some(0)
        }
    })
    .await;
    scrip.clean().await;
}

async fn bad_input_is_refused_by_name_and_changes_nothing(mut scrip: Scrip) {
    scrip.with_points(7, 100).await;
    let account = scrip.account("a", 1).await;
    scrip.free_task("job").await;
    let select = |task_id: &str| pb::SelectKeyRequest { task_id: task_id.into(), ..Default::default() };
    refused(scrip.keys.select_key(select("nobody's")).await, Code::NotFound, "TASK_NOT_FOUND");
    let of_other = pb::SelectKeyRequest { user_id: 8, ..select("job") };
    refused(scrip.keys.select_key(of_other).await, Code::NotFound, "TASK_NOT_FOUND");
    refused_fields(scrip.keys.select_key(select("")).await, &["task_id"]);
    for seconds in [0, -1, 24 * 3_600 + 1] {
        let ttl = Some(prost_types::Duration { seconds, nanos: 0 });
        refused_fields(scrip.keys.select_key(pb::SelectKeyRequest { ttl, ..select("job") }).await, &["ttl"]);
    }
    let max_wait = Some(prost_types::Duration { seconds: 61, nanos: 0 });
    refused_fields(
        scrip.keys.select_key(pb::SelectKeyRequest { max_wait, ..select("job") }).await,
        &["max_wait"],
    );
    for lease_id in ["nobody's", "0198f3c2-6a01-7c55-9d2e-3b0c5f0e7a11"] {
        let renew = pb::RenewLeaseRequest { lease_id: lease_id.into(), ttl: None };
        refused(scrip.keys.renew_lease(renew).await, Code::NotFound, "LEASE_NOT_FOUND");
        let release = pb::ReleaseKeyRequest { lease_id: lease_id.into(), ..Default::default() };
        refused(scrip.keys.release_key(release).await, Code::NotFound, "LEASE_NOT_FOUND");
    }
    let expired = pb::ReleaseKeyRequest {
        lease_id: "x".into(),
        outcome: pb::LeaseOutcome::Expired.into(),
        http_status: 42,
        ..Default::default()
    };
    refused_fields(scrip.keys.release_key(expired).await, &["outcome", "http_status"]);
    for api_key in ["", "no-colon-CANARY", "a b:CANARY", ":CANARY", "id:", "id:CANARY\n"] {
        let request =
            pb::CreateAccountRequest { name: "x".into(), api_key: api_key.into(), ..Default::default() };
        let answer = scrip.keys.create_account(request).await;
        assert!(!format!("{answer:?}").contains("CANARY"), "{answer:?}");
        refused_fields(answer, &["api_key"]);
    }
    let nothing = update(account.account_id, &[], |_| {});
    refused_fields(scrip.keys.update_account(nothing).await, &["update_mask"]);
    let unknown = update(account.account_id, &["use_cnt"], |_| {});
    refused_fields(scrip.keys.update_account(unknown).await, &["update_mask"]);
    let twice = update(account.account_id, &["remark", "remark"], |_| {});
    refused_fields(scrip.keys.update_account(twice).await, &["update_mask"]);
    let batch = pb::BatchChargeRequest { requests: vec![with_key(charge(7, "b", 1))], ..Default::default() };
    let results = scrip.billing.batch_charge(batch).await.unwrap().into_inner().results;
    assert!(matches!(results[0].result, Some(pb::batch_charge_result::Result::Error(_))));
    assert_eq!(scrip.account_now(account.account_id).await, account);
    assert_eq!(scrip.balance(7).await.total, 100);
    scrip.clean().await;
}
