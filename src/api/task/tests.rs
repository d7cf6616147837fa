use super::*;
use crate::api::convert::query;
use crate::ledger::{Fingerprint, Limits, Micros, Money, Task, TaskStatus};

fn record(id: i64, json_bytes: usize) -> TaskRecord {
    let none = || Text::from("");
    let task = Task {
        task_id: Text::from(format!("t-{id}")),
        user_id: 1,
        online_task_id: none(),
        app_name: none(),
        key_id: none(),
        task_type: none(),
        status: TaskStatus::Pending,
        money: 0,
        charged: Money::ZERO,
        refunded: Money::ZERO,
        held: Money::ZERO,
        authorized: Money::ZERO,
        hold_state: None,
        hold_expire_time: None,
        reported_cost_nano_usd: None,
        billed_cost_nano_usd: None,
        billable_units: None,
        lease_id: None,
        error: None,
        title: None,
        deployment_uuid: none(),
        pay_type: 0,
        create_time: Micros(0),
        complete_time: None,
        fingerprint: Fingerprint::new(),
        settle_fingerprint: None,
        charge_seq: None,
        refund_entries: None,
        settle_entries: None,
        attempts: Vec::new(),
    };
    let input_params = Text::from("1".repeat(json_bytes));
    TaskRecord { id, task, is_refund: false, input_params, output_params: none() }
}

/// Reads all pages of `stored` tasks, newest first; answers the number of tasks on each.
fn pages(stored: i64, json_bytes: usize, page_size: i32) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut expected = (1..=stored).rev();
    let mut page_token = String::new();
    loop {
        let request = pb::ListTasksRequest { page_size, page_token, ..pb::ListTasksRequest::default() };
        let (_, paging) = query::tasks(request, &Limits::default()).unwrap();
        let mut filling = Filling::new(paging);
        let page = loop {
            let Page { before, limit } = filling.next();
            assert!((1..=ROWS_AT_ONCE).contains(&limit));
            let ids = (1..before.unwrap_or(i64::MAX).min(stored + 1)).rev().take(limit as usize);
            if let Some(page) = filling.take(ids.map(|id| record(id, json_bytes)).collect()) {
                break page;
            }
        };
        for task in &page.tasks {
            assert_eq!(task.task_id, format!("t-{}", expected.next().unwrap()));
        }
        assert!(page.encoded_len() < 4 << 20);
        sizes.push(page.tasks.len());
        if page.next_page_token.is_empty() {
            assert_eq!(expected.next(), None, "every task was answered");
            return sizes;
        }
        page_token = page.next_page_token;
    }
}

#[test]
fn a_page_has_as_many_tasks_as_asked_for() {
    assert_eq!(pages(0, 0, 10), [0]);
    assert_eq!(pages(10, 0, 10), [10]);
    assert_eq!(pages(11, 0, 10), [10, 1]);
    assert_eq!(pages(300, 0, 1_000), [300]);
    assert_eq!(pages(120, 0, 0), [50, 50, 20]);
    assert_eq!(pages(129, 0, 64), [64, 64, 1]);
    assert_eq!(pages(128, 0, 128), [128]);
}

#[test]
fn a_heavy_page_holds_fewer_tasks_and_none_is_left_out() {
    assert_eq!(pages(40, 256 << 10, 1_000), [15, 15, 10]);
    assert_eq!(pages(3, 5 << 19, 1_000), [1, 1, 1]);
}
