//! Runs, leases by name, and how far a run has fetched.

use scrip::ledger::{Field, Fingerprint, Micros, Text};
use scrip::store::Page;
use scrip::store::reconcile::{Begun, FetchRow, NewRun, RunChange, RunState, Turn, WriteError};
use uuid::Uuid;

use crate::bench::{Bench, DAY, MINUTE, PERIOD, all_events, event, fetch, new_run};

pub(crate) async fn a_run_is_read_back_as_it_was_begun(bench: &mut Bench) {
    let new = NewRun {
        request_id: Some("r-1".into()),
        account_ids: vec![3, 1],
        user_ids: vec![7],
        apply_costs: true,
        ..new_run()
    };
    let Begun::New(id) = bench.store.create_run(&new).await.unwrap() else { panic!("it is new") };
    let run = bench.store.run(id).await.unwrap().unwrap();
    assert_eq!((run.start, run.end, run.state), (PERIOD.0, PERIOD.1, RunState::Running));
    assert_eq!((&run.account_ids[..], &run.user_ids[..], run.apply_costs), (&[3, 1][..], &[7][..], true));
    assert_eq!((&*run.settings, &*run.actor, &*run.phase), (r#"{"lag": 1}"#, "tests", "fetching"));
    assert_eq!((run.evidence_time, run.complete_time, run.findings), (None, None, [0; 3]));
    assert_eq!((&*run.summary, &*run.error, run.done, run.total), ("", "", 0, 0));
    assert_eq!((run.attempt, run.pass, run.tries, run.retry_time), (0, 0, 0, None));
    assert_eq!(bench.store.detail(id).await.unwrap().as_deref(), Some(""));
    assert_eq!(bench.store.detail(id + 1).await.unwrap(), None);
    assert!(run.create_time > PERIOD.1, "it has the store's moment");
    assert_eq!(bench.store.run(id + 1).await.unwrap(), None);
}

pub(crate) async fn a_repeated_call_finds_its_run_and_another_content_is_refused(bench: &mut Bench) {
    let new = NewRun { request_id: Some("r-1".into()), ..new_run() };
    let Begun::New(id) = bench.store.create_run(&new).await.unwrap() else { panic!("it is new") };
    let other_settings = NewRun { settings: "{}".into(), actor: "others".into(), ..new.clone() };
    assert_eq!(bench.store.create_run(&other_settings).await.unwrap(), Begun::Replay(id));
    let content = Fingerprint::new().number(Field::StartTime, 1).number(Field::ApplyCosts, 1);
    let other_content = NewRun { content, ..new.clone() };
    assert_eq!(bench.store.create_run(&other_content).await.unwrap(), Begun::Reused("apply_costs"));
    let another = NewRun { request_id: Some("r-2".into()), ..new };
    assert!(matches!(bench.store.create_run(&another).await.unwrap(), Begun::New(next) if next > id));
    assert!(matches!(bench.store.create_run(&new_run()).await.unwrap(), Begun::New(_)));
    assert!(matches!(bench.store.create_run(&new_run()).await.unwrap(), Begun::New(_)), "no key, no replay");
}

pub(crate) async fn a_request_id_that_another_method_used_is_refused(bench: &mut Bench) {
    let (fingerprint, time) = (bench.bytes("00"), crate::bench::text_of(PERIOD.0.0));
    bench
        .execute(&format!(
            "INSERT INTO scrip_requests (user_id, request_id, method, fingerprint, created_at)
             VALUES (0, 'r-1', 'create_account', {fingerprint}, '{time}'), (5, 'r-2', 'credit', {fingerprint}, '{time}')"
        ))
        .await;
    let taken = NewRun { request_id: Some("r-1".into()), ..new_run() };
    assert_eq!(bench.store.create_run(&taken).await.unwrap(), Begun::Reused("method"));
    let of_a_user = NewRun { request_id: Some("r-2".into()), ..new_run() };
    assert!(matches!(bench.store.create_run(&of_a_user).await.unwrap(), Begun::New(_)));
}

pub(crate) async fn what_a_run_tells_of_itself_is_kept_and_the_rest_stays(bench: &mut Bench) {
    let id = bench.begin().await;
    let change = RunChange {
        phase: Some("matching".into()),
        done: Some(5),
        total: Some(9),
        findings: Some([1, 2, 3]),
        evidence_time: Some(Micros(PERIOD.1.0 + 1)),
        ..RunChange::default()
    };
    bench.store.update_run(id, &change).await.unwrap();
    let more = RunChange {
        done: Some(6),
        cost_changes: Some(4),
        summary: Some("{}".into()),
        ..RunChange::default()
    };
    bench.store.update_run(id, &more).await.unwrap();
    let run = bench.store.run(id.run_id).await.unwrap().unwrap();
    assert_eq!((&*run.phase, run.done, run.total, run.findings), ("matching", 6, 9, [1, 2, 3]));
    assert_eq!((run.evidence_time, run.cost_changes), (Some(Micros(PERIOD.1.0 + 1)), 4));
    assert_eq!((run.state, run.complete_time, &*run.summary), (RunState::Running, None, "{}"));
}

pub(crate) async fn a_run_that_is_over_no_longer_changes(bench: &mut Bench) {
    let id = bench.begin().await;
    let over = RunChange {
        state: Some(RunState::Failed),
        error: Some("no accounts".into()),
        phase: Some("over".into()),
        ..RunChange::default()
    };
    bench.store.update_run(id, &over).await.unwrap();
    let late = RunChange { state: Some(RunState::Completed), ..RunChange::default() };
    let superseded = |done: Result<(), WriteError>| matches!(done, Err(WriteError::Superseded));
    assert!(superseded(bench.store.update_run(id, &late).await));
    let nobodys = Turn { run_id: id.run_id + 9, ..id };
    assert!(superseded(bench.store.update_run(nobodys, &late).await));
    let run = bench.store.run(id.run_id).await.unwrap().unwrap();
    assert_eq!(bench.store.take_up(&run, 0).await.unwrap(), None);
    assert_eq!((run.state, &*run.error, &*run.phase), (RunState::Failed, "no accounts", "over"));
    assert!(run.complete_time >= Some(run.create_time));
}

pub(crate) async fn runs_are_listed_newest_first_and_the_unfinished_oldest_first(bench: &mut Bench) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bench.create().await);
    }
    let over = RunChange { state: Some(RunState::Partial), ..RunChange::default() };
    bench.store.update_run(bench.take_up(ids[1]).await, &over).await.unwrap();
    let listed = |before, limit| {
        let store = &bench.store;
        async move {
            let runs = store.list_runs(Page { before, limit }).await.unwrap();
            runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed(None, 3).await, [ids[3], ids[2], ids[1]]);
    assert_eq!(listed(Some(ids[1]), 3).await, [ids[0]]);
    let unfinished: Vec<i64> =
        bench.store.unfinished_runs().await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(unfinished, [ids[0], ids[2], ids[3]]);
}

pub(crate) async fn the_runs_of_one_actor_are_listed_newest_first_and_tell_what_partial_ones_lack(
    bench: &mut Bench,
) {
    let mut ids = Vec::new();
    for actor in ["schedule", "others", "schedule", "schedule"] {
        let new = NewRun { actor: actor.into(), ..new_run() };
        let Begun::New(id) = bench.store.create_run(&new).await.unwrap() else { panic!("it is new") };
        ids.push(id);
    }
    for (id, state) in [(ids[0], RunState::Partial), (ids[2], RunState::Completed)] {
        let over =
            RunChange { state: Some(state), summary: Some(r#"{"kept": 1}"#.into()), ..RunChange::default() };
        bench.store.update_run(bench.take_up(id).await, &over).await.unwrap();
    }
    let listed = bench.store.runs_of("schedule", Page { before: None, limit: 9 }).await.unwrap();
    let told: Vec<_> = listed.iter().map(|run| (run.id, run.state, &*run.summary)).collect();
    assert_eq!(
        told,
        [
            (ids[3], RunState::Running, ""),
            (ids[2], RunState::Completed, ""),
            (ids[0], RunState::Partial, r#"{"kept": 1}"#),
        ]
    );
    assert_eq!((listed[0].start, listed[0].end), PERIOD);
    let rest = bench.store.runs_of("schedule", Page { before: Some(ids[2]), limit: 9 }).await.unwrap();
    assert_eq!(rest.iter().map(|run| run.id).collect::<Vec<_>>(), [ids[0]]);
}

pub(crate) async fn a_lease_by_name_has_one_holder_until_it_expires_or_is_given_back(bench: &mut Bench) {
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert!(bench.store.hold("reconcile", one, DAY).await.unwrap());
    assert!(bench.store.hold("reconcile", one, DAY).await.unwrap(), "its holder extends it");
    assert!(!bench.store.hold("reconcile", other, DAY).await.unwrap());
    assert!(bench.store.hold("balances", other, DAY).await.unwrap(), "another name is another lease");
    bench.store.let_go("reconcile", other).await.unwrap();
    assert!(!bench.store.hold("reconcile", other, DAY).await.unwrap(), "it is not the other's to give back");
    bench.execute("UPDATE scrip_leader_leases SET expires_at = '2026-01-01 00:00:00.000000'").await;
    assert!(bench.store.hold("reconcile", other, DAY).await.unwrap(), "it had expired");
    assert!(!bench.store.hold("reconcile", one, DAY).await.unwrap());
    bench.store.let_go("reconcile", other).await.unwrap();
    assert!(bench.store.hold("reconcile", one, DAY).await.unwrap());
}

pub(crate) async fn a_fetch_goes_on_where_the_last_page_left_it(bench: &mut Bench) {
    let (other, turn) = (bench.create().await, bench.begin().await);
    let id = turn.run_id;
    let mut page = FetchRow { position: "cursor 2".into(), state: "running".into(), rows: 1, ..fetch(1) };
    bench.store.save_fetch(turn, &page, &[event("r1", 5)]).await.unwrap();
    assert_eq!(bench.store.fetches(id).await.unwrap(), [page.clone()]);
    page = FetchRow { position: "".into(), pages: 2, rows: 2, state: "complete".into(), ..page };
    bench.store.save_fetch(turn, &page, &[event("r2", 6)]).await.unwrap();
    let usage = FetchRow { source: "usage".into(), result: r#"[{"cost": 11}]"#.into(), ..fetch(1) };
    bench.store.save_fetch(turn, &usage, &[]).await.unwrap();
    let failed = FetchRow { state: "failed".into(), error: r#"{"http": 401}"#.into(), ..fetch(0) };
    bench.store.save_fetch(turn, &failed, &[]).await.unwrap();
    assert_eq!(bench.store.fetches(id).await.unwrap(), [failed, page, usage]);
    assert_eq!(bench.store.fetches(other).await.unwrap(), []);
    let events = all_events(&mut *bench.evidence(turn).await).await;
    assert_eq!(events.iter().map(|event| &*event.request_id).collect::<Vec<_>>(), ["r1", "r2"]);
}

pub(crate) async fn a_page_that_could_not_be_read_is_kept_cut(bench: &mut Bench) {
    let turn = bench.begin().await;
    let garbage = vec![0xff; (64 << 10) + 1];
    let page = FetchRow { state: "failed".into(), garbage, ..fetch(1) };
    bench.store.save_fetch(turn, &page, &[]).await.unwrap();
    let kept = bench.store.fetches(turn.run_id).await.unwrap();
    assert_eq!(kept[0].garbage, vec![0xff; 64 << 10]);
    // Another run was taken up meanwhile: the fetch begins anew, and what could not be read is still there.
    bench.begin().await;
    bench.take_up(turn.run_id).await;
    let kept = bench.store.fetches(turn.run_id).await.unwrap();
    assert_eq!((&*kept[0].state, kept[0].pages, kept[0].garbage.len()), ("running", 0, 64 << 10));
}

pub(crate) async fn a_page_of_thousands_is_kept_whole(bench: &mut Bench) {
    let id = bench.begin().await;
    let events: Vec<_> = (0..4_321).map(|number| event(&format!("r{number:05}"), number)).collect();
    bench.bring(id, &events).await;
    bench.bring(id, &events).await;
    let kept = bench.evidence(id).await.events(10_000).await.unwrap();
    assert_eq!(kept.len(), events.len());
    let same = kept.iter().zip(&events).all(|(kept, sent)| {
        Text::clone(&kept.request_id) == sent.request_id && Some(kept.cost_nano_usd) == sent.cost_nano_usd
    });
    assert!(same, "in the order of their requests");
}

/// Every write that a run makes, each as it fails.
async fn writes(bench: &Bench, turn: Turn) -> [Result<(), WriteError>; 8] {
    let store = &bench.store;
    let finding = scrip::audit::Finding::new(scrip::audit::Rule::A1, scrip::audit::Evidence::default());
    let cost =
        scrip::audit::CostChange { user_id: 1, task_id: "t".into(), from_nano_usd: None, to_nano_usd: 1 };
    [
        store.update_run(turn, &RunChange { done: Some(99), ..RunChange::default() }).await,
        store.save_fetch(turn, &fetch(1), &[event("zombie", 1)]).await,
        store.add_findings(turn, 0, &[finding]).await,
        store.add_rows(turn, 1, 0, &["{}".to_owned()]).await,
        store.add_costs(turn, 0, &[cost]).await,
        store.apply_costs(turn, -1, 9).await.map(drop),
        store.clear_results(turn).await,
        store.set_aside(turn, 0, true).await,
    ]
}

pub(crate) async fn of_two_that_took_a_run_up_the_later_alone_writes(bench: &mut Bench) {
    let first = bench.begin().await;
    bench.bring(first, &[event("r1", 5)]).await;
    let read = bench.store.run(first.run_id).await.unwrap().unwrap();
    let second = bench.take_up(first.run_id).await;
    assert_eq!((second.attempt > first.attempt, second.pass), (true, first.pass), "the fetch goes on");
    assert_eq!(bench.store.take_up(&read, 0).await.unwrap(), None, "it is not as it was read any more");
    for (number, done) in writes(bench, first).await.into_iter().enumerate() {
        assert!(matches!(done, Err(WriteError::Superseded)), "{number}: {done:?}");
    }
    let run = bench.store.run(first.run_id).await.unwrap().unwrap();
    assert_eq!((run.done, run.tries, run.attempt), (0, 2, second.attempt));
    let events = all_events(&mut *bench.evidence(second).await).await;
    assert_eq!(events.iter().map(|event| &*event.request_id).collect::<Vec<_>>(), ["r1"]);
    for (number, done) in writes(bench, second).await.into_iter().enumerate() {
        assert!(done.is_ok(), "{number}: {done:?}");
    }
}

pub(crate) async fn whoever_takes_up_another_run_ends_every_turn_before(bench: &mut Bench) {
    let first = bench.begin().await;
    let other = bench.begin().await;
    for done in writes(bench, first).await {
        assert!(matches!(done, Err(WriteError::Superseded)), "{done:?}");
    }
    let again = bench.take_up(first.run_id).await;
    assert_eq!(again.pass, again.attempt, "what it had fetched is the other one's by now: a new pass");
    assert!(again.pass > other.pass && other.pass > first.pass);
    // One that has been judged fetches no more: it goes on applying.
    let judged =
        RunChange { phase: Some("applying".into()), summary: Some("{}".into()), ..RunChange::default() };
    bench.store.update_run(again, &judged).await.unwrap();
    bench.store.save_fetch(again, &fetch(1), &[]).await.unwrap();
    bench.begin().await;
    let applying = bench.take_up(first.run_id).await;
    assert_eq!(applying.pass, again.pass);
    assert_eq!(bench.store.fetches(first.run_id).await.unwrap(), [fetch(1)]);
}

pub(crate) async fn a_run_waits_as_long_as_it_was_told_and_counts_its_tries(bench: &mut Bench) {
    let id = bench.create().await;
    let read = async || bench.store.run(id).await.unwrap().unwrap();
    let turn = bench.store.take_up(&read().await, DAY).await.unwrap().unwrap();
    let run = read().await;
    let wait = |run: &scrip::store::reconcile::Run| run.retry_time.unwrap().0 - run.create_time.0;
    assert!(run.tries == 1 && (DAY..DAY + 60 * MINUTE).contains(&wait(&run)), "told when it was taken up");
    bench.store.set_aside(turn, 2 * DAY, true).await.unwrap();
    let run = read().await;
    assert!(run.tries == 1 && (2 * DAY..2 * DAY + 60 * MINUTE).contains(&wait(&run)));
    bench.store.set_aside(turn, 0, false).await.unwrap();
    let run = read().await;
    assert!(run.tries == 0 && (0..60 * MINUTE).contains(&wait(&run)), "a stop is no try");
}
