//! Lists: newest first, in pages whose tokens belong to their query; and balances as of a past moment.

use scrip::pb;
use tonic::Code;

use crate::on_both_stores;
use crate::support::client::{Scrip, refused, refused_fields};

on_both_stores!(
    entries_page_newest_first_to_the_end,
    a_page_token_of_another_query_is_refused,
    filters_and_ranges_narrow_the_lists,
    users_and_tasks_are_listed_newest_first,
    a_balance_as_of_a_past_moment_is_that_of_the_last_entry_by_then,
    page_sizes_are_bounded,
);

async fn with_history(scrip: &mut Scrip) {
    scrip.with_points(7, 1_000).await;
    scrip.credit(7, 50, pb::Purse::Cash, "cash").await;
    for n in 0..5 {
        scrip.charge(7, &format!("job-{n}"), 10).await;
    }
}

async fn entries_page_newest_first_to_the_end(mut scrip: Scrip) {
    with_history(&mut scrip).await;
    let mut request = pb::ListEntriesRequest { user_id: 7, page_size: 3, ..Default::default() };
    let mut seqs = Vec::new();
    let mut pages = 0;
    loop {
        let page = scrip.billing.list_entries(request.clone()).await.unwrap().into_inner();
        seqs.extend(page.entries.iter().map(|entry| entry.user_seq));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        // What is written meanwhile does not shift the pages.
        scrip.charge(7, &format!("meanwhile-{pages}"), 1).await;
        request.page_token = page.next_page_token;
        // The size of a page may change between pages.
        request.page_size = 2;
    }
    assert_eq!((seqs, pages), (vec![7, 6, 5, 4, 3, 2, 1], 3));
}

async fn a_page_token_of_another_query_is_refused(mut scrip: Scrip) {
    with_history(&mut scrip).await;
    let request = pb::ListEntriesRequest { user_id: 7, page_size: 2, ..Default::default() };
    let token = scrip.billing.list_entries(request.clone()).await.unwrap().into_inner().next_page_token;
    let with = |change: fn(&mut pb::ListEntriesRequest)| {
        let mut other = pb::ListEntriesRequest { page_token: token.clone(), ..request.clone() };
        change(&mut other);
        other
    };
    assert!(scrip.billing.list_entries(with(|_| ())).await.is_ok());
    refused_fields(scrip.billing.list_entries(with(|other| other.user_id = 8)).await, &["page_token"]);
    refused_fields(
        scrip.billing.list_entries(with(|other| other.order_id = "job-1".into())).await,
        &["page_token"],
    );
    refused_fields(
        scrip.billing.list_entries(with(|other| other.page_token.push('A'))).await,
        &["page_token"],
    );
    refused_fields(
        scrip.billing.list_entries(with(|other| other.page_token = "¡garbage!".into())).await,
        &["page_token"],
    );
    let users = pb::ListUsersRequest { page_size: 1, page_token: token.clone() };
    refused_fields(scrip.billing.list_users(users).await, &["page_token"]);
}

async fn filters_and_ranges_narrow_the_lists(mut scrip: Scrip) {
    with_history(&mut scrip).await;
    let all = scrip.entries(7).await;
    let cash = pb::ListEntriesRequest { user_id: 7, purse: pb::Purse::Cash.into(), ..Default::default() };
    assert_eq!(scrip.billing.list_entries(cash).await.unwrap().into_inner().entries.len(), 1);
    let charges =
        pb::ListEntriesRequest { user_id: 7, operation: pb::Operation::Charge.into(), ..Default::default() };
    assert_eq!(scrip.billing.list_entries(charges).await.unwrap().into_inner().entries.len(), 5);
    let order = pb::ListPointsDetailsRequest { user_id: 7, order_id: "job-3".into(), ..Default::default() };
    let rows = scrip.billing.list_points_details(order).await.unwrap().into_inner().points_details;
    assert_eq!((rows.len(), rows[0].points, rows[0].source_type()), (1, -10, pb::SourceType::Consume));
    // [start, end): from the fourth entry to before the sixth, if the clock ticked between them.
    let time_of = |seq: i64| all.iter().find(|entry| entry.user_seq == seq).unwrap().create_time;
    let range = pb::ListFinancialTransactionsRequest {
        user_id: 7,
        start_time: time_of(4),
        end_time: time_of(6),
        ..Default::default()
    };
    let rows =
        scrip.billing.list_financial_transactions(range).await.unwrap().into_inner().financial_transactions;
    let expected = all
        .iter()
        .filter(|entry| {
            let key = |time: Option<prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos));
            (key(time_of(4))..key(time_of(6))).contains(&key(entry.create_time))
        })
        .count();
    assert_eq!(rows.len(), expected);
    let backwards = pb::ListEntriesRequest {
        user_id: 7,
        start_time: time_of(7),
        end_time: time_of(1),
        ..Default::default()
    };
    let answer = scrip.billing.list_entries(backwards).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
}

async fn users_and_tasks_are_listed_newest_first(mut scrip: Scrip) {
    for user_id in [9, 3, 5] {
        scrip.with_points(user_id, 100).await;
        scrip.charge(user_id, &format!("job-of-{user_id}"), 1).await;
    }
    let mut request = pb::ListUsersRequest { page_size: 2, page_token: String::new() };
    let first = scrip.billing.list_users(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    let second = scrip.billing.list_users(request).await.unwrap().into_inner();
    let users: Vec<i64> =
        first.balances.iter().chain(&second.balances).map(|balance| balance.user_id).collect();
    assert_eq!((users, second.next_page_token.as_str()), (vec![5, 3, 9], ""));

    let tasks = scrip.tasks.list_tasks(pb::ListTasksRequest::default()).await.unwrap().into_inner().tasks;
    let ids: Vec<&str> = tasks.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(ids, ["job-of-5", "job-of-3", "job-of-9"]);
    let of_three =
        pb::ListTasksRequest { user_id: 3, status: pb::TaskStatus::Pending.into(), ..Default::default() };
    assert_eq!(scrip.tasks.list_tasks(of_three).await.unwrap().into_inner().tasks.len(), 1);
    let completed = pb::ListTasksRequest { status: pb::TaskStatus::Completed.into(), ..Default::default() };
    assert!(scrip.tasks.list_tasks(completed).await.unwrap().into_inner().tasks.is_empty());
}

async fn a_balance_as_of_a_past_moment_is_that_of_the_last_entry_by_then(mut scrip: Scrip) {
    with_history(&mut scrip).await;
    let entries = scrip.entries(7).await;
    let third = entries.iter().find(|entry| entry.user_seq == 3).unwrap();
    let request = pb::GetBalanceRequest { user_id: 7, as_of_time: third.create_time };
    let then = scrip.billing.get_balance(request).await.unwrap().into_inner().balance.unwrap();
    // Entries of the same microsecond count too.
    let last = entries.iter().find(|entry| entry.create_time == third.create_time).unwrap();
    assert_eq!(then.entry_seq, last.user_seq);
    assert_eq!((then.points, then.cash, then.total), (last.balance_after, 50, last.balance_after + 50));
    assert_eq!((then.held, then.available), (None, None), "what was held is not known, and not invented");

    let before = pb::GetBalanceRequest {
        user_id: 7,
        as_of_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
    };
    assert_eq!(scrip.billing.get_balance(before).await.unwrap().into_inner().balance.unwrap().total, 0);
    let future = prost_types::Timestamp { seconds: 99_999_999_999, nanos: 0 };
    let future = pb::GetBalanceRequest { user_id: 7, as_of_time: Some(future) };
    refused_fields(scrip.billing.get_balance(future).await, &["as_of_time"]);
    let nobody = pb::GetBalanceRequest { user_id: 8, as_of_time: third.create_time };
    refused(scrip.billing.get_balance(nobody).await, Code::NotFound, "USER_NOT_FOUND");
}

async fn page_sizes_are_bounded(mut scrip: Scrip) {
    with_history(&mut scrip).await;
    let request = |page_size| pb::ListEntriesRequest { user_id: 7, page_size, ..Default::default() };
    refused_fields(scrip.billing.list_entries(request(-1)).await, &["page_size"]);
    assert_eq!(scrip.billing.list_entries(request(i32::MAX)).await.unwrap().into_inner().entries.len(), 7);
    assert_eq!(scrip.billing.list_entries(request(0)).await.unwrap().into_inner().entries.len(), 7);
}
