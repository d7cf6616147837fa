//! Billed costs on their way to the tasks.

use scrip::audit::CostChange;
use scrip::store::reconcile::Applied;

use crate::bench::{Bench, START};

fn change(user_id: i64, task_id: &str, from_nano_usd: Option<i64>, to_nano_usd: i64) -> CostChange {
    CostChange { user_id, task_id: task_id.into(), from_nano_usd, to_nano_usd }
}

async fn billed(bench: &mut Bench) -> Vec<String> {
    let sql = "SELECT task_id || ' ' || coalesce(CAST(billed_cost_nano_usd AS TEXT), '-') FROM ts_fal_tasks ORDER BY id";
    bench.texts(sql).await
}

pub(crate) async fn a_cost_is_written_once_and_only_from_the_known_value(bench: &mut Bench) {
    let run = bench.begin().await;
    for (task_id, more) in [
        ("t1", ""),
        ("t2", "billed_cost_nano_usd = 5"),
        ("t3", "billed_cost_nano_usd = 6"),
        ("t4", ""),
        ("t5", ""),
    ] {
        bench.task(task_id, 1, START, more).await;
    }
    let costs = [
        change(1, "t1", None, 0),
        change(1, "t2", Some(5), 7),
        change(1, "t3", Some(5), 7),
        change(1, "t4", Some(5), 7),
        change(2, "t5", None, 7),
        change(1, "gone", None, 7),
    ];
    bench.store.add_costs(run, 0, &costs).await.unwrap();
    let applied = bench.store.apply_costs(run, -1, 9).await.unwrap();
    assert_eq!(applied, Applied { after: 5, seen: 6, written: 2 });
    assert_eq!(billed(bench).await, ["t1 0", "t2 7", "t3 6", "t4 -", "t5 -"]);
    // A run that was killed applies again from the start.
    let again = bench.store.apply_costs(run, -1, 9).await.unwrap();
    assert_eq!(again, Applied { after: 5, seen: 6, written: 0 });
    assert_eq!(bench.store.run(run.run_id).await.unwrap().unwrap().costs_applied, 2);
    let noted = "SELECT task_id FROM scrip_reconciliation_costs WHERE applied_at IS NOT NULL ORDER BY number";
    assert_eq!(bench.texts(noted).await, ["t1", "t2"]);
    bench.store.clear_results(run).await.unwrap();
    assert_eq!(
        bench.store.apply_costs(run, -1, 9).await.unwrap(),
        Applied { after: -1, seen: 0, written: 0 }
    );
}

pub(crate) async fn costs_are_written_chunk_by_chunk_with_a_line_of_the_log_each(bench: &mut Bench) {
    let run = bench.begin().await;
    let mut costs = Vec::new();
    for number in 0..5 {
        let task_id = format!("t{number}");
        bench.task(&task_id, 1, START, "").await;
        costs.push(change(1, &task_id, None, number));
    }
    bench.store.add_costs(run, 0, &costs).await.unwrap();
    let mut after = -1;
    let mut written = Vec::new();
    loop {
        let applied = bench.store.apply_costs(run, after, 2).await.unwrap();
        after = applied.after;
        if applied.seen == 0 {
            break;
        }
        written.push((applied.seen, applied.written));
    }
    assert_eq!(written, [(2, 2), (2, 2), (1, 1)]);
    let other = bench.begin().await;
    bench.store.add_costs(other, 0, &[change(1, "t9", None, 1)]).await.unwrap();
    bench.store.apply_costs(other, -1, 2).await.unwrap();
    let log = "SELECT subject_kind || ' ' || subject || ' ' || actor || ' ' || changes FROM scrip_audit_log ORDER BY id";
    let line = |before: i64, after: i64| {
        format!(r#"reconciliation {} tests {{"costs_applied":[{before},{after}]}}"#, run.run_id)
    };
    assert_eq!(bench.texts(log).await, [line(0, 2), line(2, 4), line(4, 5)], "none where none was written");
}

/// Everything that billing stores, row by row, but for the one column and what is computed of it.
async fn all_else(bench: &mut Bench) -> Vec<String> {
    let columns = "user_id, task_id, online_task_id, app_name, api_key, task_type, status, money, is_refund, input_params,
        output_params, created_at, completed_at, charged_points, charged_cash, refunded_points, refunded_cash,
        held_points, held_cash, authorized_points, authorized_cash, hold_state, hold_expires_at,
        reported_cost_nano_usd, billable_units, lease_id, error, title, deployment_uuid, pay_type, fingerprint,
        settle_fingerprint, charge_seq, refund_seq, refund_entries, settle_seq, settle_entries";
    let row = |column: &str| format!("coalesce(CAST({} AS TEXT), 'NULL')", column.trim());
    let tasks = columns.split(',').map(row).collect::<Vec<_>>().join(" || '|' || ");
    let mut all = bench.texts(&format!("SELECT {tasks} FROM ts_fal_tasks ORDER BY id")).await;
    for table in
        ["ts_users", "ts_financial_transactions", "ts_points_detail", "scrip_requests", "scrip_task_attempts"]
    {
        all.extend(bench.texts(&format!("SELECT '{table} ' || CAST(count(*) AS TEXT) FROM {table}")).await);
    }
    let users = "SELECT CAST(points_balance AS TEXT) || '|' || CAST(cash_balance AS TEXT) || '|' || CAST(updated_at AS TEXT)
        FROM ts_users";
    all.extend(bench.texts(users).await);
    all
}

pub(crate) async fn writing_costs_changes_nothing_else(bench: &mut Bench) {
    let run = bench.begin().await;
    let hash = bench.bytes(&"07".repeat(32));
    bench
        .execute(&format!(
            "INSERT INTO ts_users VALUES (1, 5, 6, 1, 2, 0, {hash}, '2026-02-01 00:00:00.000000',
                 '2026-02-01 00:00:00.000000', '2026-02-01 00:00:00.000000')"
        ))
        .await;
    bench
        .task(
            "t1",
            1,
            START,
            "reported_cost_nano_usd = 3, refunded_points = 20, error = 'x', output_params = '[1]'",
        )
        .await;
    bench.task("t2", 1, START, "").await;
    let before = all_else(bench).await;
    bench.store.add_costs(run, 0, &[change(1, "t1", None, 4), change(1, "t2", None, 5)]).await.unwrap();
    bench.store.apply_costs(run, -1, 100).await.unwrap();
    assert_eq!(billed(bench).await, ["t1 4", "t2 5"]);
    assert_eq!(all_else(bench).await, before);
    assert!(before.len() > 7, "{before:?}");
}
