//! What the ledgers say of a run's tasks and days.

use scrip::audit::UserTasks;
use scrip::ledger::Micros;
use scrip::store::reconcile::Quarter;

use crate::bench::{Bench, DAY, MINUTE, PERIOD, START, text_of};

/// The next entry of a user, of some 100 points left.
async fn entry(
    bench: &mut Bench,
    user_id: i64,
    at: i64,
    operation: &str,
    order_id: &str,
    money: (i64, bool),
) {
    let (hash, time) = (bench.bytes(&"00".repeat(32)), text_of(at));
    let (money, is_cash) = (money.0, i32::from(money.1));
    bench
        .execute(&format!(
            "INSERT INTO ts_financial_transactions (user_id, user_seq, money, order_id, \"time\", transaction_type,
                 is_cash, operation, source_type, balance_before, balance_after, actor, entry_hash)
             SELECT {user_id}, coalesce(max(user_seq), 0) + 1, {money}, '{order_id}', '{time}', 0, {is_cash},
                 '{operation}', 'inference', 1000, 1000 + ({money}), 'tests', {hash}
             FROM ts_financial_transactions WHERE user_id = {user_id}"
        ))
        .await;
}

pub(crate) async fn the_entries_of_the_periods_tasks_are_summed_by_user_and_purse(bench: &mut Bench) {
    let run = bench.begin().await;
    for (user_id, task_id, created) in [
        (2, "t1", START),
        (2, "t2", START + DAY - 1),
        (5, "t5", START),
        (5, "old", START - 1),
        (9, "t9", START),
    ] {
        bench.task(task_id, user_id, created, "").await;
    }
    for (user_id, at, operation, order_id, money) in [
        (2, 0, "charge", "t1", (-15, false)),
        (2, 0, "charge", "t1", (-5, true)),
        (2, 40 * DAY, "capture", "t2", (-20, false)),
        (2, DAY, "refund", "t1", (7, false)),
        (2, DAY, "credit", "t1", (100, true)),
        (5, 0, "charge", "t5", (-20, false)),
        (5, MINUTE, "charge", "t5", (-20, false)),
        (5, MINUTE, "charge", "old", (-11, false)),
        // Another user's task is not this one's, whatever the order says.
        (5, MINUTE, "charge", "t9", (-13, false)),
        (7, MINUTE, "debit", "t1", (-13, false)),
    ] {
        entry(bench, user_id, START + at, operation, order_id, money).await;
    }
    let mut evidence = bench.evidence(run).await;
    let row = |user_id, points_consumed, cash_consumed| UserTasks { user_id, points_consumed, cash_consumed };
    assert_eq!(evidence.user_tasks(1).await.unwrap(), [row(2, 35, 5)]);
    assert_eq!(evidence.user_tasks(9).await.unwrap(), [row(5, 40, 0)], "what was charged twice counts twice");
    assert_eq!(evidence.user_tasks(9).await.unwrap(), []);
}

pub(crate) async fn entries_are_summed_by_quarters_of_an_hour(bench: &mut Bench) {
    let run = bench.begin().await;
    for (user_id, at, operation, money) in [
        (2, -1, "charge", (-1, false)),
        (2, 0, "charge", (-15, false)),
        (2, 15 * MINUTE - 1, "capture", (-5, true)),
        (2, 15 * MINUTE - 1, "refund", (3, true)),
        (2, 15 * MINUTE, "credit", (50, false)),
        (2, 30 * MINUTE, "debit", (-50, false)),
        (1, 59 * MINUTE, "refund", (2, false)),
        (1, DAY - 1, "charge", (-4, false)),
        (1, DAY, "charge", (-8, false)),
    ] {
        entry(bench, user_id, START + at, operation, "t", money).await;
    }
    let mut evidence = bench.evidence(run).await;
    let row = |user_id, minutes: i64, consumed, refunded, credited| Quarter {
        user_id,
        start: Micros(START + minutes * MINUTE),
        consumed,
        refunded,
        credited,
    };
    let rows = evidence.user_quarters(PERIOD, 3).await.unwrap();
    assert_eq!(rows, [row(1, 45, 0, 2, 0), row(1, 1_425, 4, 0, 0), row(2, 0, 20, 3, 0)]);
    assert_eq!(evidence.user_quarters(PERIOD, 3).await.unwrap(), [row(2, 15, 0, 0, 50)]);
    assert_eq!(evidence.user_quarters(PERIOD, 3).await.unwrap(), []);
}

pub(crate) async fn quarters_of_another_range_begin_anew(bench: &mut Bench) {
    let run = bench.begin().await;
    for at in [-DAY, 0] {
        entry(bench, 1, START + at, "charge", "t", (-1, false)).await;
    }
    let mut evidence = bench.evidence(run).await;
    assert_eq!(evidence.user_quarters(PERIOD, 9).await.unwrap().len(), 1);
    assert_eq!(evidence.user_quarters(PERIOD, 9).await.unwrap().len(), 0);
    let wider = (Micros(START - DAY), PERIOD.1);
    assert_eq!(evidence.user_quarters(wider, 9).await.unwrap().len(), 2);
}
