//! Leases as the tables hold them: given, renewed, superseded and closed, and never more than there are slots.

use std::sync::Arc;

use scrip::keypool::{Command, Done, LeaseOutcome};
use scrip::ledger::command::{Authorize, Charge, CompleteTask};
use scrip::ledger::{KeySelection, Purse, Report, Text};

use crate::bench::Bench;
use crate::commands::{
    USER, authorize, charge, complete, credit, expire, of_user, one, select, selection, text, void,
};
use crate::keyed::{Answer, Item, Judge};
use crate::keys::{create, in_workspace, leased, record, stored, with_slots};
use crate::support::model::keypool_world::S;

pub(crate) async fn leases_are_given_renewed_superseded_and_closed(bench: &mut Bench) {
    let account_id = with_slots(bench, 2).await;
    let first = leased(bench, "t").await;
    assert_eq!(stored(bench, &first.lease_id).await, *first);
    assert_eq!((first.fence, first.account_id, first.user_id), (1, account_id, USER));
    assert_eq!(record(bench, account_id).await.in_flight, 1);

    let lease_id = Text::clone(&first.lease_id);
    let renew = Command::Renew { lease_id, ttl_micros: Some(7_200 * S) };
    bench.administer("", renew).await.expect("renewed");
    assert!(stored(bench, &first.lease_id).await.expire_time > first.expire_time);

    // One plan closes a lease and gives the next one of the same task.
    let done = bench.with_keys(select("t", "another", "second")).await;
    assert_eq!(done.lease_id.as_deref(), Some("second"));
    let (before, after) = (stored(bench, &first.lease_id).await, stored(bench, "second").await);
    assert_eq!((before.outcome, after.outcome), (Some(LeaseOutcome::RunnerCanceled), None));
    assert_eq!((after.fence, after.is_open()), (2, true));
    let task = bench.reader.task("t").await.expect("a task").expect("it is there").task;
    assert_eq!((&*task.key_id, task.lease_id.as_deref()), ("key-1", Some("second")));

    let done = bench.with_keys(CompleteTask { lease_id: text("second"), ..complete("t") }).await;
    assert!(done.task.is_some());
    assert_eq!(stored(bench, "second").await.outcome, Some(LeaseOutcome::Succeeded));
    assert_eq!(record(bench, account_id).await.in_flight, 0);
    assert_eq!(record(bench, account_id).await.account.use_cnt, 2);
    assert_eq!(bench.stored().await.leases.len(), 2);
}

pub(crate) async fn figures_count_what_is_open_and_what_is_overdue(bench: &mut Bench) {
    let figures = async |bench: &Bench| {
        let found = bench.reader.figures().await.expect("figures");
        // The model keeps no file.
        assert!(found.bytes >= 0);
        (found.holds, found.held_points, found.holds_overdue, found.leases, found.leases_overdue)
    };
    assert_eq!(figures(bench).await, (0, 0, 0, 0, 0));
    with_slots(bench, 2).await;
    let lease = leased(bench, "t").await;
    bench.ok(credit(Purse::Points, 1_000)).await;
    bench.ok(credit(Purse::Cash, 1_000)).await;
    let hold = |task_id, amount, ttl| Authorize { ttl_micros: Some(ttl), ..authorize(task_id, amount) };
    bench.ok(hold("long", 1_500, 3_600 * S)).await;
    bench.ok(hold("short", 20, 1)).await;
    bench.ok(hold("voided", 7, 3_600 * S)).await;
    bench.ok(void("voided")).await;
    bench.pass(10_000).await;
    assert_eq!(figures(bench).await, (2, 1_520, 1, 1, 0));
    bench.ok(expire("short")).await;
    let release = Command::Release { lease_id: Text::clone(&lease.lease_id), report: Report::succeeded() };
    bench.administer("", release).await.expect("released");
    assert_eq!(figures(bench).await, (1, 1_500, 0, 0, 0));
}

pub(crate) async fn no_more_leases_are_given_than_a_workspace_has_slots(bench: &mut Bench) {
    bench.ok(credit(Purse::Points, 100)).await;
    create(bench, in_workspace("key-1", "ws")).await;
    create(bench, in_workspace("key-2", "ws")).await;
    let item = |task: usize| {
        let select_key = Some(selection("runner", &format!("lease-{task}")));
        Item::Ledger(one(
            "",
            Charge { select_key: select_key.map(Box::new), ..charge(&format!("task-{task}"), 1) },
        ))
    };
    let answers = bench.keyed(&[item(1), item(2), item(3)]).await;
    let given = |answer: &Answer| matches!(answer, Answer::Ledger(outcomes) if outcomes[0].is_ok());
    assert_eq!(answers.iter().map(given).collect::<Vec<_>>(), [true, true, false], "{answers:?}");
    assert_eq!(bench.reader.task("task-3").await.expect("an answer"), None, "no key, no charge");
    let usage = bench.reader.key_pool().await.expect("the pool").usage;
    assert_eq!((usage.len(), usage[0].in_flight), (1, 2));
    let report = Report::succeeded();
    let release = Command::Release { lease_id: text("lease-1"), report };
    let answers = bench.keyed(&[Item::Pool(text(""), release), item(3)]).await;
    assert!(given(&answers[1]), "a slot that comes back is given in the same commit");
}

pub(crate) async fn writers_that_race_for_the_last_slots_give_each_once(bench: &mut Bench) {
    with_slots(bench, 5).await;
    // Each has a user of its own: what one user's lock holds back would not race for the slots.
    let user_of = |racer: i64| USER + 1 + racer;
    for racer in 0..4 {
        bench.ok(of_user(user_of(racer), credit(Purse::Points, 1_000))).await;
    }
    bench.raced = true;
    let (pool, now) = (Arc::new(bench.pool.clone()), bench.now().await);
    let racing: Vec<_> = (0..4)
        .map(|racer: i64| {
            let (pool, mut writer) = (Arc::clone(&pool), bench.store.writer());
            tokio::spawn(async move {
                let judge = Judge::seeing(&pool, now, racer.unsigned_abs());
                let mut given = 0;
                for number in 0..5 {
                    let name = format!("{racer}-{number}");
                    let command =
                        Charge { select_key: Some(Box::new(selection("", &name))), ..charge(&name, 1) };
                    let item = Item::Ledger(one("", of_user(user_of(racer), command)));
                    let answers = judge.run(writer.as_mut(), &[item]).await.0;
                    given +=
                        usize::from(matches!(&answers[0], Answer::Ledger(outcomes) if outcomes[0].is_ok()));
                }
                given
            })
        })
        .collect();
    let mut given = 0;
    for racer in racing {
        given += racer.await.expect("no panic");
    }
    assert_eq!(given, 5);
    let usage = bench.reader.key_pool().await.expect("the pool").usage;
    assert_eq!(usage[0].in_flight, 5);
}

pub(crate) async fn due_leases_are_the_open_ones_whose_time_has_passed(bench: &mut Bench) {
    with_slots(bench, 10).await;
    let lease = async |bench: &mut Bench, task: &str, ttl_micros: i64| {
        let asked = KeySelection { ttl_micros: Some(ttl_micros), ..selection("runner", task) };
        bench.with_keys(Charge { select_key: Some(Box::new(asked)), ..charge(task, 1) }).await;
    };
    lease(bench, "long", 3_600 * S).await;
    lease(bench, "later", 1_900_000).await;
    lease(bench, "sooner", 100_000).await;
    lease(bench, "closed", 1_000_000).await;
    let release = Command::Release { lease_id: text("closed"), report: Report::succeeded() };
    bench.administer("", release).await.expect("released");
    bench.pass(2 * S).await;
    assert_eq!(bench.reader.due_leases(10).await.expect("leases"), [text("sooner"), text("later")]);
    assert_eq!(bench.reader.due_leases(1).await.expect("leases"), [text("sooner")]);
    let lease_ids = vec![text("sooner"), text("later")];
    assert_eq!(bench.administer("", Command::Expire { lease_ids }).await, Ok(Done::Expired(2)));
    assert!(bench.reader.due_leases(10).await.expect("leases").is_empty());
    assert_eq!(stored(bench, "later").await.outcome, Some(LeaseOutcome::Expired));
}

pub(crate) async fn a_hold_is_not_due_while_its_task_has_a_live_lease(bench: &mut Bench) {
    with_slots(bench, 10).await;
    let brief = |task: &str, ttl: Option<i64>| Authorize {
        charge: Charge {
            select_key: ttl
                .map(|ttl| Box::new(KeySelection { ttl_micros: Some(ttl), ..selection("runner", task) })),
            ..charge(task, 1)
        },
        ttl_micros: Some(1_000),
    };
    bench.with_keys(brief("unleased", None)).await;
    bench.pass(1).await;
    bench.with_keys(brief("leased", Some(3_600 * S))).await;
    bench.pass(1).await;
    bench.with_keys(brief("lapsed", Some(1_000))).await;
    bench.pass(1).await;
    bench.with_keys(brief("released", Some(3_600 * S))).await;
    let release = Command::Release { lease_id: text("released"), report: Report::default() };
    bench.administer("", release).await.expect("released");
    bench.pass(S).await;
    let due = async |bench: &Bench| -> Vec<Text> {
        bench.reader.due_holds(10).await.expect("holds").into_iter().map(|(_, task_id)| task_id).collect()
    };
    assert_eq!(due(bench).await, [text("unleased"), text("lapsed"), text("released")]);
    let release = Command::Release { lease_id: text("leased"), report: Report::default() };
    bench.administer("", release).await.expect("released");
    assert!(due(bench).await.contains(&text("leased")));
}

pub(crate) async fn a_request_keeps_the_lease_it_gave(bench: &mut Bench) {
    with_slots(bench, 3).await;
    let asking = |lease_id: &str| {
        let select_key = Some(selection("runner", lease_id));
        Item::Ledger(one("r", Charge { select_key: select_key.map(Box::new), ..charge("t", 10) }))
    };
    let lease_of = |answers: Vec<Answer>| match &answers[0] {
        Answer::Ledger(outcomes) => {
            let done = outcomes[0].as_ref().expect("done");
            (done.replayed, done.lease_id.as_deref().map(ToOwned::to_owned))
        }
        Answer::Pool(_) => panic!("an answer of the ledger"),
    };
    assert_eq!(lease_of(bench.keyed(&[asking("first")]).await), (false, Some("first".to_owned())));
    assert_eq!(lease_of(bench.keyed(&[asking("second")]).await), (true, Some("first".to_owned())));
    let without = Item::Ledger(one("r", charge("t", 10)));
    assert_eq!(lease_of(bench.keyed(&[without]).await), (true, None));
    assert_eq!(bench.pool.leases.len(), 1);
    let another = bench.with_keys(select("t", "another", "third")).await;
    assert_eq!(another.lease_id.as_deref(), Some("third"));
}
