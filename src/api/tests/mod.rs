//! The services through the generated clients and the real engine, over a store in memory. No socket is opened.

mod store;

use prost_types::Timestamp;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic_types::StatusExt;

use self::store::{Memory, NOW};
use super::*;
use crate::clock::System;
use crate::engine::{Engine, Options as EngineOptions};
use crate::pb;
use crate::pb::batch_charge_result::Result as ItemResult;
use crate::pb::billing_service_client::BillingServiceClient;
use crate::pb::task_service_client::TaskServiceClient;
use crate::server::auth::{Identity, served_methods};

/// The routes as a caller reaches them whom the server has let in.
type LetIn = InterceptedService<Routes, fn(Request<()>) -> Result<Request<()>, Status>>;
type Billing = BillingServiceClient<LetIn>;
type Tasks = TaskServiceClient<LetIn>;

fn service() -> (Billing, Tasks) {
    let limits = Limits { max_batch_items: 3, ..Limits::default() };
    let options = EngineOptions { limits, ..EngineOptions::default() };
    let engine = Engine::start(&Memory::default(), System::ids(), options);
    let routes = routes(engine.handle(), None, Options::default());
    (
        BillingServiceClient::new(InterceptedService::new(routes.clone(), let_in)),
        TaskServiceClient::new(InterceptedService::new(routes, let_in)),
    )
}

fn let_in(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.extensions_mut().insert(anonymous());
    Ok(request)
}

fn anonymous() -> Caller {
    Caller::new(Arc::new(Identity::anonymous()), "/scrip.v1.Tests/Any")
}

fn credit(user_id: i64, amount: i64) -> pb::CreditRequest {
    let request_id = format!("credit-{user_id}-{amount}");
    pb::CreditRequest { request_id, user_id, amount, purse: pb::Purse::Points.into(), ..Default::default() }
}

fn charge(task_id: &str, amount: i64) -> pb::ChargeRequest {
    pb::ChargeRequest { user_id: 7, task_id: task_id.to_owned(), amount, ..Default::default() }
}

/// Code, reason, and the fields at fault.
fn refused<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> (Code, String, Vec<String>) {
    let status = result.unwrap_err();
    let details = status.get_error_details();
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    let fields = fields.into_iter().map(|violation| violation.field).collect();
    (status.code(), details.error_info().unwrap().reason.clone(), fields)
}

fn invalid(fields: &[&str]) -> (Code, String, Vec<String>) {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    (Code::InvalidArgument, "INVALID_FIELD".to_owned(), fields)
}

#[tokio::test]
async fn a_charge_is_answered_once_and_replayed_after() {
    let (mut billing, mut tasks) = service();
    billing.credit(credit(7, 1_000)).await.unwrap();
    let request = pb::ChargeRequest { input_params: "{}".to_owned(), ..charge("t-1", 300) };
    let first = billing.charge(request.clone()).await.unwrap().into_inner();
    let (task, balance) = (first.task.unwrap(), first.balance.unwrap());
    assert_eq!((task.money, task.status(), task.input_params.as_str()), (300, pb::TaskStatus::Pending, ""));
    assert_eq!((balance.total, balance.available, first.replayed), (700, Some(700), false));
    assert_eq!(first.entries[0].amount, -300);

    let again = billing.charge(request).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(again.entries, first.entries);

    let get = |user_id| pb::GetTaskRequest { task_id: "t-1".to_owned(), user_id };
    let task = tasks.get_task(get(0)).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.input_params, "{}");
    let (code, reason, _) = refused(tasks.get_task(get(8)).await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
}

#[tokio::test]
async fn what_the_wire_and_what_the_ledger_find_wrong_is_told_together() {
    let (mut billing, _) = service();
    let request = pb::CreditRequest { user_id: -1, amount: 0, source_type: 99, ..Default::default() };
    assert_eq!(
        refused(billing.credit(request).await),
        invalid(&["purse", "source_type", "user_id", "amount"])
    );
    let request = pb::CreditRequest { user_id: 1, amount: 1, ..Default::default() };
    assert_eq!(refused(billing.credit(request).await), invalid(&["purse", "request_id"]));
    let request = pb::CreditRequest { user_id: 1, amount: 1, purse: 1, ..Default::default() };
    let (code, reason, fields) = refused(billing.credit(request).await);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REQUIRED"));
    assert_eq!(fields, ["request_id"]);
}

#[tokio::test]
async fn a_task_names_its_user_or_nobody() {
    let (mut billing, _) = service();
    billing.credit(credit(7, 1_000)).await.unwrap();
    billing.charge(charge("t-1", 300)).await.unwrap();
    let refund = |user_id| pb::RefundRequest { task_id: "t-1".to_owned(), user_id, ..Default::default() };
    assert_eq!(refused(billing.refund(refund(-7)).await), invalid(&["user_id"]));
    assert_eq!(refused(billing.refund(refund(8)).await).1, "TASK_NOT_FOUND");
    let refunded = billing.refund(refund(0)).await.unwrap().into_inner();
    assert_eq!((refunded.task.unwrap().is_refund, refunded.balance.unwrap().total), (true, 1_000));
}

#[tokio::test]
async fn the_items_of_a_batch_have_their_own_outcomes() {
    let (mut billing, _) = service();
    billing.credit(credit(7, 100)).await.unwrap();
    let selecting = pb::ChargeRequest { select_key: Some(pb::KeySelection::default()), ..charge("t-3", 1) };
    let mut request = pb::BatchChargeRequest {
        requests: vec![charge("t-1", 60), charge("t-2", 60), selecting],
        ..Default::default()
    };
    let mut results = billing.batch_charge(request.clone()).await.unwrap().into_inner().results.into_iter();
    let mut next = || results.next().unwrap().result.unwrap();
    let ItemResult::Charge(charged) = next() else { panic!("the first has its money") };
    assert_eq!((charged.entries.len(), charged.task, charged.balance), (1, None, None));
    let ItemResult::Error(error) = next() else { panic!("the second has none left") };
    assert_eq!(error.code, Code::FailedPrecondition as i32);
    let ItemResult::Error(error) = next() else { panic!("the third selects a key") };
    assert_eq!(error.code, Code::InvalidArgument as i32);
    assert!(error.message.starts_with("select_key "), "{}", error.message);

    request.requests = vec![charge("t-4", 10), charge("t-5", 1_000)];
    (request.atomic, request.full_results) = (true, true);
    let results = billing.batch_charge(request.clone()).await.unwrap().into_inner().results;
    let codes = results.into_iter().map(|result| match result.result.unwrap() {
        ItemResult::Charge(_) => Code::Ok as i32,
        ItemResult::Error(error) => error.code,
    });
    assert_eq!(codes.collect::<Vec<_>>(), [Code::Aborted as i32, Code::FailedPrecondition as i32]);

    request.requests.pop();
    let mut results = billing.batch_charge(request.clone()).await.unwrap().into_inner().results;
    let Some(ItemResult::Charge(charged)) = results.remove(0).result else { panic!("it is sound alone") };
    assert_eq!((charged.balance.unwrap().total, charged.task.unwrap().money), (30, 10));

    request.requests = vec![charge("t-6", 1); 4];
    assert_eq!(refused(billing.batch_charge(request).await), invalid(&["requests"]));
    let none = billing.batch_charge(pb::BatchChargeRequest::default()).await.unwrap().into_inner();
    assert!(none.results.is_empty());
}

#[tokio::test]
async fn a_balance_is_of_now_or_of_the_past_but_not_of_the_future() {
    let (mut billing, _) = service();
    billing.credit(credit(7, 100)).await.unwrap();
    let at = |user_id, as_of_time| pb::GetBalanceRequest { user_id, as_of_time };
    let now = billing.get_balance(at(7, None)).await.unwrap().into_inner().balance.unwrap();
    assert_eq!((now.total, now.held), (100, Some(0)));
    let moment = |nanos| Some(Timestamp { seconds: NOW.0 / 1_000_000, nanos });
    let past = billing.get_balance(at(7, moment(0))).await.unwrap().into_inner().balance.unwrap();
    assert_eq!((past.total, past.held), (100, None));
    assert_eq!(refused(billing.get_balance(at(7, moment(1_000))).await), invalid(&["as_of_time"]));
    assert_eq!(refused(billing.get_balance(at(7, moment(-1))).await), invalid(&["as_of_time"]));
    for time in [None, moment(0)] {
        assert_eq!(refused(billing.get_balance(at(8, time)).await).1, "USER_NOT_FOUND");
    }
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let (mut billing, _) = service();
    for amount in 1..=5 {
        billing.credit(credit(7, amount)).await.unwrap();
    }
    let mut request = pb::ListEntriesRequest { user_id: 7, page_size: 2, ..Default::default() };
    let mut amounts = Vec::new();
    loop {
        let page = billing.list_entries(request.clone()).await.unwrap().into_inner();
        amounts.push(page.entries.iter().map(|entry| entry.amount).collect::<Vec<_>>());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        let other = pb::ListEntriesRequest { user_id: 8, ..request.clone() };
        assert_eq!(refused(billing.list_entries(other).await), invalid(&["page_token"]));
    }
    assert_eq!(amounts, [vec![5, 4], vec![3, 2], vec![1]]);

    for user_id in 8..=9 {
        billing.credit(credit(user_id, 1)).await.unwrap();
    }
    let mut request = pb::ListUsersRequest { page_size: 2, ..Default::default() };
    let page = billing.list_users(request.clone()).await.unwrap().into_inner();
    assert_eq!(page.balances.iter().map(|balance| balance.user_id).collect::<Vec<_>>(), [9, 8]);
    request.page_token = page.next_page_token;
    let page = billing.list_users(request).await.unwrap().into_inner();
    assert_eq!((page.balances.len(), page.next_page_token.as_str()), (1, ""));
}

/// Sends bytes that no generated client would send.
async fn send_raw(message: &[u8], options: Options) -> Status {
    let engine = Engine::start(&Memory::default(), System::ids(), EngineOptions::default());
    let routes = routes(engine.handle(), None, options);
    post(routes, "/scrip.v1.BillingService/BatchCharge", message, Some(anonymous())).await
}

async fn post(routes: Routes, path: &str, message: &[u8], caller: Option<Caller>) -> Status {
    use tower::ServiceExt;

    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .body(http_body_util::Full::new(bytes::Bytes::from(framed)))
        .unwrap();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let response = routes.oneshot(request).await.unwrap();
    Status::from_header_map(response.headers()).expect("refused before any answer")
}

#[tokio::test]
async fn no_method_is_served_to_a_call_that_came_past_the_door() {
    let engine = Engine::start(&Memory::default(), System::ids(), EngineOptions::default());
    let routes = routes(engine.handle(), None, Options::default());
    let all = served_methods(&[pb::DESCRIPTOR_SET]).unwrap();
    let own: Vec<_> = all.iter().filter(|path| path.starts_with("/scrip.v1.")).collect();
    assert!(own.len() > 30, "{own:?}");
    // Reconciliation has no handle here; its handlers begin as the others do.
    for path in own.into_iter().filter(|path| !path.contains("Reconciliation")) {
        let (code, reason, _) = refused::<()>(Err(post(routes.clone(), path, &[], None).await));
        assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_protobuf_is_an_invalid_field() {
    // requests { title: a byte that is no UTF-8 }
    let status = send_raw(&[0x0a, 0x03, 0x3a, 0x01, 0xff], Options::default()).await;
    assert_eq!(refused::<()>(Err(status)), invalid(&["requests.title"]));
    // A length that runs past the end.
    let status = send_raw(&[0x0a, 0x7f], Options::default()).await;
    assert_eq!(refused::<()>(Err(status)), invalid(&["requests"]));
    // A tag that is none.
    let status = send_raw(&[0x00], Options::default()).await;
    assert_eq!(refused::<()>(Err(status)), invalid(&["message"]));
}

#[tokio::test]
async fn a_message_that_would_swell_is_not_decoded() {
    let empty_items = [0x0a, 0x00].repeat(8_000_000);
    let status = send_raw(&empty_items, Options::default()).await;
    assert_eq!(refused::<()>(Err(status)), invalid(&["message"]));
}

#[tokio::test]
async fn a_message_over_the_limit_is_not_decoded() {
    let status = send_raw(&[0; 100], Options { max_message_bytes: 99 }).await;
    // The server's layers give it the code and reason that clients expect.
    assert_eq!(status.code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_is_not_taken_up() {
    let (mut billing, _) = service();
    let mut request = Request::new(credit(7, 100));
    request.extensions_mut().insert(Deadline::at(Instant::now()));
    let (code, reason, _) = refused(billing.credit(request).await);
    assert_eq!((code, reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    let request = pb::GetBalanceRequest { user_id: 7, as_of_time: None };
    assert_eq!(refused(billing.get_balance(request).await).1, "USER_NOT_FOUND");
}
