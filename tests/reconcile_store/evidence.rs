//! The snapshot a run judges: which events and tasks, in which order, with what.

use scrip::audit::Attempt;
use scrip::ledger::Micros;
use scrip::store::reconcile::{EventRow, Extent, FetchRow, Turn};

use crate::bench::{Bench, DAY, MINUTE, PERIOD, START, all_events, all_tasks, event, extent, fetch};

fn request_ids(events: &[scrip::audit::Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.request_id).collect()
}

fn task_ids(tasks: &[scrip::audit::Task]) -> Vec<&str> {
    tasks.iter().map(|task| &*task.task_id).collect()
}

pub(crate) async fn an_event_is_kept_once_whoever_fetched_it(bench: &mut Bench) {
    let first = bench.begin().await;
    let retried = event("r1", 6);
    bench.bring(first, &[event("r1", 5), retried.clone()]).await;
    let second = bench.begin().await;
    // fal's rows gain fields: the bill is the same.
    let by_another = EventRow { raw: r#"{"cost":5,"new":1}"#.into(), ..event("r1", 5) };
    bench.bring(second, &[by_another, retried, event("r2", 7)]).await;
    let events = all_events(&mut *bench.evidence(second).await).await;
    assert_eq!(request_ids(&events), ["r1", "r1", "r2"], "one request may have two events, each once");
    assert_eq!(bench.texts("SELECT CAST(count(*) AS TEXT) FROM scrip_billing_events").await, ["3"]);
}

/// Request and cost of the events that a turn judges.
async fn judged(bench: &Bench, turn: Turn) -> Vec<(String, i64)> {
    let events = all_events(&mut *bench.evidence(turn).await).await;
    events.iter().map(|event| (event.request_id.to_string(), event.cost_nano_usd)).collect()
}

pub(crate) async fn a_run_judges_what_its_own_fetch_saw(bench: &mut Bench) {
    let first = bench.begin().await;
    bench.bring(first, &[event("r1", 5), event("r2", 6)]).await;
    let second = bench.begin().await;
    // fal has corrected one, and the other one is late.
    bench.bring(second, &[event("r1", 4)]).await;
    assert_eq!(judged(bench, second).await, [("r1".into(), 4)]);
    bench.bring(second, &[event("r2", 6)]).await;
    assert_eq!(judged(bench, second).await, [("r1".into(), 4), ("r2".into(), 6)]);
    // What it said before is evidence still.
    let kept = "SELECT request_id || ' ' || CAST(cost_nano_usd AS TEXT) FROM scrip_billing_events
        ORDER BY request_id, cost_nano_usd";
    assert_eq!(bench.texts(kept).await, ["r1 4", "r1 5", "r2 6"]);
    // And it may take its correction back.
    let third = bench.begin().await;
    bench.bring(third, &[event("r1", 5)]).await;
    assert_eq!(judged(bench, third).await, [("r1".into(), 5)]);
}

pub(crate) async fn what_another_account_brought_is_not_judged(bench: &mut Bench) {
    let run = bench.begin().await;
    // The account that asked first was deleted in the middle of the run: another one asks from the beginning.
    bench
        .bring(
            run,
            &[EventRow { account_id: 2, ..event("r1", 5) }, EventRow { account_id: 2, ..event("r2", 6) }],
        )
        .await;
    bench.bring(run, &[event("r1", 4), event("r2", 6)]).await;
    assert_eq!(judged(bench, run).await, [("r1".into(), 4), ("r2".into(), 6)]);
}

pub(crate) async fn events_that_say_the_same_in_the_same_microsecond_are_each_kept(bench: &mut Bench) {
    let run = bench.begin().await;
    let page = |pages| FetchRow { pages, ..fetch(1) };
    let first = [event("r1", 5), event("r1", 5), event("r2", 7)];
    let second = [event("r1", 5), event("r3", 8)];
    let third = [event("r1", 5), event("r1", 5)];
    let all = ["r1", "r1", "r1", "r1", "r1", "r2", "r3"];
    for (pages, events) in [(1, &first[..]), (2, &second[..]), (3, &third[..])] {
        // A crash before its answer: the page is asked for again, and it is the same page.
        for _ in 0..2 {
            bench.store.save_fetch(run, &page(pages), events).await.unwrap();
        }
    }
    assert_eq!(request_ids(&all_events(&mut *bench.evidence(run).await).await), all);
    let ordinals =
        "SELECT CAST(ordinal AS TEXT) FROM scrip_billing_events WHERE request_id = 'r1' ORDER BY ordinal";
    assert_eq!(bench.texts(ordinals).await, ["0", "1", "2", "3", "4"]);
    // The next run sees the same five, on other pages; and then one less.
    let next = bench.begin().await;
    let whole = [&third[..], &second[..], &first[..]].concat();
    bench.store.save_fetch(next, &page(1), &whole).await.unwrap();
    assert_eq!(request_ids(&all_events(&mut *bench.evidence(next).await).await), all);
    let last = bench.begin().await;
    bench.store.save_fetch(last, &page(1), &whole[1..]).await.unwrap();
    assert_eq!(request_ids(&all_events(&mut *bench.evidence(last).await).await), all[1..]);
    assert_eq!(bench.texts("SELECT CAST(count(*) AS TEXT) FROM scrip_billing_events").await, ["7"]);
}

pub(crate) async fn equal_events_beyond_one_commit_are_told_apart(bench: &mut Bench) {
    let run = bench.begin().await;
    let many = vec![event("r1", 5); 4_500];
    for _ in 0..2 {
        bench.bring(run, &many).await;
    }
    assert_eq!(bench.evidence(run).await.events(10_000).await.unwrap().len(), 4_500);
}

pub(crate) async fn events_are_those_of_the_time_and_workspaces_asked_for(bench: &mut Bench) {
    let run = bench.begin().await;
    let at = |request_id: &str, time| EventRow { time: Micros(time), ..event(request_id, 1) };
    let of =
        |request_id: &str, workspace: &str| EventRow { workspace: workspace.into(), ..event(request_id, 1) };
    let (start, end) = (START, START + 2 * DAY);
    bench
        .bring(run, &[at("before", start - 1), at("first", start), at("last", end - 1), at("after", end)])
        .await;
    bench.bring(run, &[of("other", "w2"), of("none", "")]).await;
    assert_eq!(request_ids(&all_events(&mut *bench.evidence(run).await).await), ["first", "last"]);
    let sources = vec![("w2".into(), 1), ("".into(), 1), ("w9".into(), 1)];
    let mut evidence = bench.store.evidence(&Extent { sources, ..extent(run) }).await.unwrap();
    assert_eq!(request_ids(&all_events(&mut *evidence).await), ["none", "other"]);
    let mut nothing = bench.store.evidence(&Extent { sources: vec![], ..extent(run) }).await.unwrap();
    assert_eq!(all_events(&mut *nothing).await, []);
}

pub(crate) async fn an_event_is_answered_as_it_was_kept(bench: &mut Bench) {
    let run = bench.begin().await;
    bench.bring(run, &[EventRow { units_nano: None, ..event("r1", 5) }]).await;
    let events = all_events(&mut *bench.evidence(run).await).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.account_id, event.cost_nano_usd, event.units_nano), (1, 5, None));
    assert_eq!((&*event.endpoint_id, event.time.0), ("fal-ai/flux", START + MINUTE));
}

pub(crate) async fn events_without_a_cost_are_counted_apart(bench: &mut Bench) {
    let run = bench.begin().await;
    let unknown = EventRow { cost_nano_usd: None, ..event("r1", 5) };
    bench.bring(run, &[unknown, event("r2", 0)]).await;
    let mut evidence = bench.evidence(run).await;
    assert_eq!(evidence.unpriced().await.unwrap(), 1);
    let events = all_events(&mut *evidence).await;
    assert_eq!(request_ids(&events), ["r2"], "a cost of nothing is a cost");
}

pub(crate) async fn tasks_and_events_come_in_the_order_of_their_bytes(bench: &mut Bench) {
    let run = bench.begin().await;
    // Any language's order would have these otherwise.
    let ids = ["-", "0", "B", "Z", "_", "a", "a-b", "aB", "ab", "é", "字", "🎨"];
    let events: Vec<_> = ids.iter().rev().map(|id| event(id, 1)).collect();
    bench.bring(run, &events).await;
    for id in ids.iter().rev() {
        bench.task(&format!("t{id}"), 1, START, "").await;
        bench.attempt(1, &format!("t{id}"), id, "k1").await;
    }
    for id in ["nb", "nA", "na"] {
        bench.task(id, 2, START, "").await;
    }
    let mut evidence = bench.evidence(run).await;
    // Read side by side, a few at a time.
    let (mut tasks, mut events) = (Vec::new(), Vec::new());
    loop {
        let (more_tasks, more_events) = (evidence.tasks(2).await.unwrap(), evidence.events(5).await.unwrap());
        if more_tasks.is_empty() && more_events.is_empty() {
            break;
        }
        tasks.extend(more_tasks);
        events.extend(more_events);
    }
    assert_eq!(request_ids(&events), ids);
    let keys: Vec<_> = tasks.iter().map(|task| task.sort_key()).collect();
    assert!(keys.is_sorted_by(|one, other| one < other), "{keys:?}");
    assert_eq!(&task_ids(&tasks)[..3], ["nA", "na", "nb"], "without a request they come first, by id");
    assert_eq!(tasks.len(), ids.len() + 3);
}

pub(crate) async fn a_task_comes_with_all_its_attempts(bench: &mut Bench) {
    let run = bench.begin().await;
    let columns =
        "online_task_id = 'r9', api_key = 'k9', status = 'failed', charged_points = 15, charged_cash = 5,
        refunded_points = 3, refunded_cash = 4, reported_cost_nano_usd = 11, billed_cost_nano_usd = 12,
        hold_state = 'open', hold_expires_at = '2026-03-01 00:00:00.000000', authorized_points = 2,
        authorized_cash = 1, held_points = 2, held_cash = 1";
    bench.task("t1", 7, START + MINUTE, columns).await;
    for (online_id, key_id) in [("r5", "k5"), ("", "k6"), ("r4", "")] {
        bench.attempt(7, "t1", online_id, key_id).await;
    }
    bench.task("t2", 7, START, "online_task_id = 'r2'").await;
    bench.task("t3", 7, START, "").await;
    let tasks = all_tasks(&mut *bench.evidence(run).await).await;
    assert_eq!(task_ids(&tasks), ["t3", "t2", "t1"]);
    let attempt =
        |online_id: &str, key_id: &str| Attempt { online_id: online_id.into(), key_id: key_id.into() };
    let [none, own, many] = &tasks[..] else { panic!("{tasks:?}") };
    let named = [attempt("r5", "k5"), attempt("", "k6"), attempt("r4", ""), attempt("r9", "k9")];
    assert_eq!(many.attempts, named, "oldest first, and the row's own behind them");
    assert_eq!(many.sort_key(), ("r4", "t1"));
    assert_eq!((&*many.key_id, many.money, many.refunded, many.held), ("k9", 20, 7, 3));
    assert_eq!((many.reported_cost_nano_usd, many.billed_cost_nano_usd), (Some(11), Some(12)));
    assert_eq!((many.user_id, &*many.app_name, many.status.as_str()), (7, "fal-ai/flux", "failed"));
    assert_eq!(many.create_time.0, START + MINUTE);
    assert_eq!(many.complete_time.map(|time| time.0), Some(START + 2 * MINUTE));
    assert_eq!((&own.attempts[..], &none.attempts[..]), (&[attempt("r2", "k1")][..], &[][..]));
}

pub(crate) async fn tasks_are_those_of_the_period_and_those_that_events_name(bench: &mut Bench) {
    let run = bench.begin().await;
    for (task_id, created) in [("first", START), ("last", START + DAY - 1)] {
        bench.task(task_id, 1, created, "").await;
    }
    for (task_id, created) in [("before", START - 1), ("after", START + DAY), ("twice", START - 9 * DAY)] {
        bench.task(task_id, 1, created, "").await;
        bench.attempt(1, task_id, &format!("r-{task_id}"), "k1").await;
    }
    bench.attempt(1, "twice", "r-again", "k1").await;
    // Two tasks that name one request are both there.
    bench.attempt(1, "first", "r-again", "k1").await;
    let tasks = all_tasks(&mut *bench.evidence(run).await).await;
    assert_eq!(task_ids(&tasks), ["last", "first"]);
    bench.bring(run, &[event("r-before", 1), event("r-twice", 1), event("r-again", 2)]).await;
    bench.bring(run, &[EventRow { workspace: "w2".into(), ..event("r-after", 1) }]).await;
    let tasks = all_tasks(&mut *bench.evidence(run).await).await;
    assert_eq!(task_ids(&tasks), ["last", "first", "twice", "before"], "each once, whatever names it");
}

pub(crate) async fn tasks_from_before_the_period_come_along_while_they_are_open_or_were_when_it_began(
    bench: &mut Bench,
) {
    let run = bench.begin().await;
    for (task_id, days, more) in [
        ("too old", 3, "status = 'pending', completed_at = NULL"),
        ("pending", 2, "status = 'pending', completed_at = NULL"),
        ("processing", 1, "status = 'processing', completed_at = NULL"),
        ("over", 1, ""),
    ] {
        bench.task(task_id, 1, START - days * DAY, more).await;
    }
    // Each ends a minute after it was created.
    bench.task("just ended", 1, START - MINUTE - 1, "").await;
    bench.task("ended in the period", 1, START - MINUTE, "").await;
    assert_eq!(all_tasks(&mut *bench.evidence(run).await).await, []);
    let extent = Extent { events: (Micros(START - 2 * DAY), PERIOD.1), ..extent(run) };
    let tasks = all_tasks(&mut *bench.store.evidence(&extent).await.unwrap()).await;
    assert_eq!(task_ids(&tasks), ["ended in the period", "pending", "processing"]);
}

pub(crate) async fn a_lease_is_live_until_it_expires_or_is_released(bench: &mut Bench) {
    let run = bench.begin().await;
    for (task_id, expires, released) in [
        ("expired", "2026-02-01 00:00:00", "NULL, NULL"),
        ("live", "2100-01-01 00:00:00", "NULL, NULL"),
        ("released", "2100-01-01 00:00:00", "'2026-02-01 00:00:00.000000', 'succeeded'"),
    ] {
        bench.task(task_id, 1, START, "").await;
        bench
            .execute(&format!(
                "INSERT INTO scrip_leases (lease_id, account_id, key_id, runner_id, user_id, task_id, fence,
                     acquired_at, expires_at, released_at, outcome, is_probe, is_retry, estimated_cost_nano_usd)
                 VALUES ('l-{task_id}', 1, 'k1', 'runner', 1, '{task_id}', 1, '2026-02-01 00:00:00.000000',
                     '{expires}.000000', {released}, FALSE, FALSE, 0)"
            ))
            .await;
    }
    bench.task("none", 1, START, "").await;
    let tasks = all_tasks(&mut *bench.evidence(run).await).await;
    let live: Vec<_> = tasks.iter().filter(|task| task.live_lease).map(|task| &*task.task_id).collect();
    assert_eq!((live, tasks.len()), (vec!["live"], 4));
}

pub(crate) async fn accounts_come_with_every_key_that_was_ever_leased(bench: &mut Bench) {
    let run = bench.begin().await;
    for sql in [
        "INSERT INTO ts_fal_account (name, api_key, workspace, balance_nano_usd) VALUES ('one', 'k1', 'w1', 5)",
        "INSERT INTO ts_fal_account (name, api_key, workspace, state, status) VALUES ('gone', 'k9', 'w2', 'deleted', 0)",
        "INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at)
         SELECT id, 'lease', api_key, created_at FROM ts_fal_account",
        "INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at, retired_at)
         SELECT id, 'lease', 'k0', created_at, created_at FROM ts_fal_account WHERE name = 'one'",
        "INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at)
         SELECT id, 'billing', 'b', created_at FROM ts_fal_account",
    ] {
        bench.execute(sql).await;
    }
    let told = crate::bench::text_of(START + MINUTE);
    let later = crate::bench::text_of(START + 2 * MINUTE);
    for (at, changes) in
        [(&told, r#"{"balance_nano_usd":["unknown","5"]}"#), (&later, r#"{"weight":["1","2"]}"#)]
    {
        bench
            .execute(&format!(
                "INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
                 SELECT '{at}', 'fal', 'workspace', 'w1', id, '', '{changes}' FROM ts_fal_account WHERE name = 'one'"
            ))
            .await;
    }
    let accounts = bench.evidence(run).await.accounts().await.unwrap();
    let [one, gone] = &accounts[..] else { panic!("{accounts:?}") };
    let keys =
        |account: &scrip::audit::Account| account.key_ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((&*one.name, &*one.workspace, keys(one)), ("one", "w1", vec!["k0".into(), "k1".into()]));
    assert_eq!((&*gone.name, &*gone.workspace, keys(gone)), ("gone", "w2", vec!["k9".into()]));
    let told = scrip::audit::Micros(START + MINUTE);
    assert_eq!((one.balance, gone.balance), (Some((5, told)), None), "of the time when it was told");
}

pub(crate) async fn a_snapshot_does_not_see_what_is_written_later(bench: &mut Bench) {
    let run = bench.begin().await;
    bench.bring(run, &[event("r1", 5)]).await;
    bench.task("t1", 1, START, "").await;
    let mut evidence = bench.evidence(run).await;
    bench.bring(run, &[event("r0", 5)]).await;
    bench.task("t0", 1, START, "").await;
    assert_eq!(evidence.estimate().await.unwrap(), 2);
    assert_eq!(request_ids(&all_events(&mut *evidence).await), ["r1"]);
    assert_eq!(task_ids(&all_tasks(&mut *evidence).await), ["t1"]);
}
