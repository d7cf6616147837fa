//! What a plan says is what is stored: rows of every operation, text and numbers of every kind, batches of any size.

use std::sync::Arc;

use scrip::ledger::command::{Authorize, Charge, Command, CompleteTask, Credit, FailTask, Refund, StartTask};
use scrip::ledger::{Batch, Funding, Purse, SourceType, Work};

use crate::bench::Bench;
use crate::commands::{
    AsCommand, USER, authorize, capture, charge, complete, credit, debit, expire, fail, of_user, one, refund,
    refund_all, start, submission, text, void,
};

/// Every operation, each possible after those before it.
pub(crate) fn operations() -> Vec<Command> {
    let brief = Authorize { ttl_micros: Some(1), ..authorize("brief", 50) };
    let capturing = CompleteTask { capture_amount: Some(30), ..complete("held-2") };
    vec![
        credit(Purse::Points, 400).command(),
        credit(Purse::Cash, 1_000).command(),
        Credit { source_type: SourceType::Gift, ..credit(Purse::Points, 5) }.command(),
        charge("charged", 600).command(),
        charge("free", 0).command(),
        authorize("held", 100).command(),
        authorize("held-2", 100).command(),
        authorize("held-3", 100).command(),
        brief.command(),
        expire("brief").command(),
        start("charged", "online-1").command(),
        start("charged", "online-2").command(),
        start("held", "").command(),
        complete("charged").command(),
        refund("charged", 250).command(),
        refund_all("charged").command(),
        capture("held", 60).command(),
        FailTask { online_task_id: text("online-3"), ..fail("held") }.command(),
        capturing.command(),
        void("held-3").command(),
        complete("held-3").command(),
        FailTask { no_refund: true, ..fail("free") }.command(),
        debit(700).command(),
    ]
}

pub(crate) async fn every_operation_is_read_back_as_it_was_decided(bench: &mut Bench) {
    for command in operations() {
        let done = bench.ok(command).await;
        bench.assert_stored(&done).await;
        bench.pass(10).await;
    }
    assert_eq!(bench.stored().await.tasks.len(), 6);
}

pub(crate) async fn a_user_and_all_that_is_its_can_come_in_one_batch(bench: &mut Bench) {
    let work = [
        one("c", credit(Purse::Points, 100)),
        one("r", charge("t", 60)),
        one("", start("t", "online-1")),
        one("", authorize("h", 10)),
        one("", complete("t")),
        one("", refund_all("t")),
        one("s", charge("u", 1_000)),
    ];
    let outcomes: Vec<_> = bench.transact(&work).await.into_iter().flatten().collect();
    let done: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!((done.len(), outcomes.len()), (6, 7));
    bench.assert_stored(done[5]).await;
}

pub(crate) async fn text_of_every_kind_is_kept_as_it_came(bench: &mut Bench) {
    let words = [
        "plain",
        "一张图 🎨 e\u{301}",
        r#"quotes ' " ` and \ back\\slash"#,
        "{NULL},{\"a\",b} (1,'2') $1 :x ?1 %s",
        "line\nbreak\ttab\r",
        "NULL",
        "null",
        " spaces around ",
        "\u{feff}\u{200b}\u{10ffff}",
    ];
    bench.ok(credit(Purse::Points, 1_000)).await;
    for (number, word) in words.into_iter().enumerate() {
        let json = serde_json::to_string(&serde_json::json!({ word: [word, number] })).expect("JSON");
        // Ids take no control characters, and that of a key no colon; lines take all but NUL.
        let id: String = word.chars().filter(|char| !char.is_control() && *char != ':').collect();
        let command = Charge {
            app_name: text(&id),
            task_type: text(&id),
            title: text(word),
            input_params: text(&json),
            deployment_uuid: text(&id),
            ..charge(&id, 10)
        };
        let done = bench.run_as(&id, command).await.expect("charged");
        bench.assert_stored(&done).await;
        let record = bench.reader.task(&id).await.expect("a task").expect("it is there");
        assert_eq!((&*record.input_params, &*record.output_params), (&*json, ""));
        let run = StartTask { key_id: text(&id), ..start(&id, &id) };
        bench.ok(run).await;
        bench.ok(Refund { reason: text(word), ..refund_all(&id) }).await;
        let failed = bench.ok(FailTask { error: text(word), ..fail(&id) }).await;
        bench.assert_stored(&failed).await;
        assert!(
            bench.run_as(&id, Charge { title: text("x"), ..charge(&id, 10) }).await.is_err(),
            "found by {id}"
        );
    }
}

pub(crate) async fn the_edges_of_numbers_and_times_are_kept(bench: &mut Bench) {
    let user_id = i64::MAX;
    bench.ok(of_user(user_id, Credit { pay_type: i32::MAX, ..credit(Purse::Points, i64::MAX) })).await;
    let largest = Charge { pay_type: i32::MAX, ..charge("t", 1_000_000_000_000) };
    let done = bench.ok(of_user(user_id, largest)).await;
    bench.assert_stored(&done).await;
    let longest = Authorize { ttl_micros: Some(30 * 86_400_000_000), ..authorize("h", 1) };
    let done = bench.ok(of_user(user_id, longest)).await;
    bench.assert_stored(&done).await;
    let done = bench.ok(of_user(user_id, debit(i64::MAX - 1_000_000_000_001))).await;
    bench.assert_stored(&done).await;
    let costly = CompleteTask { cost_nano_usd: Some(i64::MAX), ..complete("t") };
    let done = bench.ok(of_user(user_id, costly)).await;
    bench.assert_stored(&done).await;
    let wide = "图".repeat(100);
    bench.ok(of_user(user_id, charge(&wide, 0))).await;
    let record = bench.reader.task(&wide).await.expect("a task").expect("it is there");
    assert_eq!(&*record.task.task_id, wide);
}

pub(crate) async fn the_output_of_a_task_is_kept_until_another_comes(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    bench.ok(authorize("t", 10)).await;
    let output = async |bench: &Bench| {
        let record = bench.reader.task("t").await.expect("a task").expect("it is there");
        (record.input_params.to_string(), record.output_params.to_string())
    };
    let input = r#"{"prompt":"a cat"}"#.to_owned();
    assert_eq!(output(bench).await, (input.clone(), String::new()));
    bench.ok(complete("t")).await;
    assert_eq!(output(bench).await, (input.clone(), r#"{"url":"x"}"#.to_owned()));
    bench.ok(capture("t", 10)).await;
    bench.ok(refund_all("t")).await;
    assert_eq!(output(bench).await, (input, r#"{"url":"x"}"#.to_owned()), "no later write empties it");
}

pub(crate) async fn attempts_are_appended_in_their_order(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    bench.ok(charge("t", 10)).await;
    bench.ok(charge("other", 10)).await;
    for number in (1..=12).rev() {
        bench.ok(start("t", &format!("online-{number}"))).await;
        bench.ok(start("other", &format!("other-{number}"))).await;
    }
    let batch: Vec<Work> = (13..=15).map(|number| one("", start("t", &format!("online-{number}")))).collect();
    bench.transact(&batch).await;
    let done = bench.ok(CompleteTask { online_task_id: text("online-0"), ..complete("t") }).await;
    bench.assert_stored(&done).await;
    let task = done.task.expect("a task");
    let attempts: Vec<&str> = task.attempts.iter().map(|id| &**id).collect();
    let numbers = (1..=12).rev().chain(13..=15).chain([0]);
    let expected: Vec<String> = numbers.map(|number| format!("online-{number}")).collect();
    assert_eq!(attempts, expected);
}

pub(crate) async fn a_batch_of_thousands_is_written_whole(bench: &mut Bench) {
    const ITEMS: usize = 3_001;
    let users = 1..=60_i64;
    let credits: Vec<Work> =
        users.clone().map(|user_id| one("c", of_user(user_id, credit(Purse::Points, 1_000)))).collect();
    bench.transact(&credits).await;
    let items = (0..ITEMS).map(|number| {
        let user_id = i64::try_from(number % 60).expect("small") + 1;
        let request_id = if number % 3 == 0 { format!("r-{number}") } else { String::new() };
        submission(&request_id, of_user(user_id, charge(&format!("task-{number}"), 1)))
    });
    let work = [Work::Batch(Batch { atomic: true, items: items.collect() })];
    let outcomes = bench.transact(&work).await.remove(0);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|done| !done.replayed)));
    let again = bench.transact(&work).await.remove(0);
    assert!(again.iter().all(|outcome| outcome.as_ref().is_ok_and(|done| done.replayed)));
    let ends: Vec<Work> = (0..ITEMS)
        .map(|number| {
            let user_id = i64::try_from(number % 60).expect("small") + 1;
            let task_id = format!("task-{number}");
            let command = match number % 2 {
                0 => of_user(user_id, fail(&task_id)),
                _ => of_user(user_id, start(&task_id, &format!("online-{number}"))),
            };
            one("", command)
        })
        .collect();
    bench.transact(&ends).await;
    assert_eq!(bench.stored().await.tasks.len(), ITEMS);
}

pub(crate) async fn a_batch_reads_thousands_of_keys(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 1)).await;
    let work: Vec<Work> = (0..5_000)
        .map(|number| {
            let command = of_user(1_000 + number, charge(&format!("task-{number}"), 1));
            one(&format!("r-{number}"), command)
        })
        .collect();
    let outcomes = bench.transact(&work).await;
    assert!(outcomes.iter().flatten().all(Result::is_err), "none of these users is there");
    assert!(bench.plan.is_empty());
}

pub(crate) async fn an_aborted_batch_writes_nothing(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    let before = bench.stored().await;
    let items = vec![submission("r", charge("a", 60)), submission("s", charge("b", 60))];
    let outcomes = bench.transact(&[Work::Batch(Batch { atomic: true, items })]).await;
    assert!(outcomes[0].iter().all(Result::is_err));
    assert_eq!(bench.stored().await, before);
    assert_eq!(bench.store.reader().task("a").await.expect("an answer"), None);
}

pub(crate) async fn a_time_that_goes_back_does_not_reorder_a_chain(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    let first = bench.ok(charge("t", 10)).await;
    if let Some(clock) = bench.clock() {
        clock.advance(-1_000_000);
    }
    let second = bench.ok(Charge { funding: Funding::PointsOnly, ..charge("u", 10) }).await;
    assert!(second.entries[0].time >= first.entries[0].time);
    assert_eq!(second.entries[0].user_seq, first.entries[0].user_seq + 1);
    assert_eq!(Arc::as_ref(&second.entries[0]).user_id, USER);
}
