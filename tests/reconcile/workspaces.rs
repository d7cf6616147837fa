//! Whom fal is asked through, and what it tells of an account besides its bill.

use scrip::fal::fake::{Event, Fault, Route, Workspace};
use scrip::ledger::Micros;
use scrip::reconcile::{Options, Reason, RunState, UsageQuestion, Works};
use scrip::store::Page;

use crate::world::{DAY, HOUR, MODEL, START, World, day};

fn asked(world: &World, path: &str) -> usize {
    world.fal.seen().iter().filter(|seen| seen.path.ends_with(path)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_with_two_accounts_is_asked_and_counted_once() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.account("b", "w").await;
    world.credit(7, 1_000).await;
    world.sound("one", 7, (1, "a", "w")).await;
    world.sound("two", 7, (2, "b", "w")).await;
    world.later();
    let outcome = world.reconcile(true).await;
    assert_eq!((outcome.run.state, outcome.rules()), (RunState::Completed, vec![]));
    assert_eq!((asked(&world, "billing-events"), asked(&world, "models/usage")), (1, 1));
    let totals = outcome.summary.unwrap().report.totals;
    assert_eq!((totals.official_cost_nano_usd, totals.events.events), (40_000_000, 2));
    assert_eq!(
        world.billed_cost("two").await,
        Some(20_000_000),
        "the other account's task is billed through the first"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_for_the_platform_api_is_asked_with_where_there_is_one() {
    let world = World::new().await;
    // Neither of the keys that are leased may see the bill.
    let workspace =
        Workspace::new("w", "9").plain_key("key-a:secret").plain_key("key-b:secret").key("admin:secret");
    world.fal.world().add(workspace);
    world.stored("a", "w", None).await;
    world.stored("b", "w", Some("admin:secret")).await;
    world.later();
    let outcome = world.reconcile(false).await;
    assert_eq!((outcome.run.state, outcome.failures()), (RunState::Completed, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_opened_here_is_named_and_the_others_are_asked() {
    let world = World::new().await;
    world.account("a", "w").await;
    // Sealed by another process, whose key this one does not have.
    let sealed = scrip::vault::Keyring::generate(scrip::vault::KekId::new("lost").unwrap(), [9; 32]);
    let key = scrip::vault::FalKey::new("key-x:secret".to_owned()).unwrap();
    let sealed = sealed.seal(&key, scrip::keypool::Purpose::Lease, [3; 24]).unwrap();
    let new = scrip::keypool::NewAccount {
        name: "x".into(),
        key: scrip::keypool::NewKey { key_id: "key-x".into(), sealed },
        billing_key: None,
        workspace: "lost".into(),
        max_concurrency: 2,
        priority: 0,
        weight: 100,
        allowed_apps: scrip::keypool::AllowList::default(),
        remark: "".into(),
        balance_nano_usd: None,
    };
    let create = scrip::keypool::Command::Create(new);
    world.engine.handle().keys(create, "", &"test".into(), None).await.unwrap();
    world.later();
    let outcome = world.reconcile(false).await;
    assert_eq!(outcome.run.state, RunState::Partial);
    let failures = outcome.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!((failures[0].1, failures[0].2), ("billing_events", Reason::SecretUnavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_are_heard_and_accounts_whose_workspace_nobody_told_join_the_one_that_fal_bills() {
    let world = World::new().await;
    let workspace = Workspace::new("studio", "12.5").key("key-a:secret").key("key-b:secret");
    world.fal.world().add(workspace.event(Event::new("req-x", MODEL, START + HOUR)));
    world.stored("a", "", None).await;
    world.stored("b", "", None).await;
    world.later();
    let outcome = world.reconcile(false).await;
    assert_eq!(outcome.run.state, RunState::Completed);
    assert_eq!((asked(&world, "account/billing"), asked(&world, "billing-events")), (2, 1));
    let accounts = world.engine.handle().list_accounts(Page { before: None, limit: 10 }).await.unwrap();
    let known: Vec<_> = accounts
        .iter()
        .map(|record| (&*record.account.workspace, record.workspace.balance_nano_usd))
        .collect();
    assert_eq!(known, [("studio", Some(12_500_000_000)); 2]);
    let log = world.engine.handle().audit_log(None, Page { before: None, limit: 50 }).await.unwrap();
    assert!(log.iter().any(|row| &*row.actor == "reconciliation"), "{log:?}");
    // Nobody asked for the request; it is one, however many accounts tell of it.
    assert_eq!(outcome.rules(), ["A1", "A3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_about_one_account_asks_for_its_workspace_alone() {
    let world = World::new().await;
    let one = world.account("a", "w").await;
    world.account("b", "v").await;
    world.credit(7, 1_000).await;
    world.sound("one", 7, (1, "a", "w")).await;
    world.sound("two", 7, (2, "b", "v")).await;
    world.later();
    let reconciler = world.reconciler();
    let start = scrip::reconcile::Start { account_ids: vec![one], ..day() };
    let outcome = crate::world::reconcile(&reconciler.handle(), start).await;
    reconciler.drain().await;
    assert_eq!((outcome.run.state, asked(&world, "billing-events")), (RunState::Completed, 1));
    assert_eq!(outcome.summary.unwrap().report.totals.sums.tasks, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_asked_live_and_an_account_that_cannot_be_asked_is_named() {
    let world = World::new().await;
    let good = world.account("a", "w").await;
    let bad = world.stored("b", "v", None).await;
    world.event("w", Event::new("r1", MODEL, START + HOUR).units("1.5", "megapixels").price("0.025"));
    world.event("w", Event::new("r2", MODEL, START + 30 * HOUR).units("1", "megapixels").price("0.025"));
    world.later();
    let reconciler = world.reconciler();
    let handle = reconciler.handle();
    let ask = UsageQuestion { start: day().start, end: Some(Micros(START + 2 * DAY)), ..Default::default() };
    let answer = handle.usage(&ask).await.unwrap();
    assert_eq!(answer.lines.len(), 1);
    let line = &answer.lines[0];
    assert_eq!(
        (line.account_id, line.row.quantity.to_string(), line.start.0),
        (good, "2.5".to_owned(), START)
    );
    assert_eq!((answer.cost_nano_usd(), answer.failures.len()), (62_500_000, 1));
    assert_eq!((answer.failures[0].account_id, answer.failures[0].reason), (bad, Reason::UpstreamDenied));

    let by_day =
        UsageQuestion { account_ids: vec![good], timeframe: Some(scrip::fal::Timeframe::Day), ..ask.clone() };
    let days: Vec<i64> = handle.usage(&by_day).await.unwrap().lines.iter().map(|line| line.start.0).collect();
    assert_eq!(days, [START, START + DAY]);
    let alone = UsageQuestion { account_ids: vec![bad], ..ask.clone() };
    assert!(
        matches!(handle.usage(&alone).await, Err(scrip::reconcile::Error::Upstream(why)) if why.account_id == bad)
    );
    let unknown = UsageQuestion { account_ids: vec![99], ..ask };
    assert!(matches!(handle.usage(&unknown).await, Err(scrip::reconcile::Error::Engine(_))));
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_of_more_rows_than_an_answer_holds_is_refused_with_what_to_ask_instead() {
    let world = World::new().await;
    // A row each: 500 of forty workspaces in the first hour, and one in the second.
    for workspace in 0..40 {
        let workspace = format!("w{workspace}");
        world.account(&workspace, &workspace).await;
        for number in 0..500 {
            let event = Event::new(&format!("r{number}"), &format!("fal-ai/m{number}"), START);
            world.event(&workspace, event.price("0.01"));
        }
    }
    world.event("w0", Event::new("last", MODEL, START + HOUR).price("0.01"));
    world.later();
    let reconciler = world.reconciler();
    let handle = reconciler.handle();
    let by_hour = |from: i64, to: i64| UsageQuestion {
        start: Some(Micros(START + from * HOUR)),
        end: Some(Micros(START + to * HOUR)),
        timeframe: Some(scrip::fal::Timeframe::Hour),
        ..UsageQuestion::default()
    };
    let Err(refused) = handle.usage(&by_hour(0, 2)).await else { panic!("20,001 rows are too many") };
    let words = format!("{refused:?}");
    assert!(words.contains("timeframe") && words.contains("ask for a shorter one"), "{words}");
    assert_eq!(handle.usage(&by_hour(1, 2)).await.unwrap().lines.len(), 1);
    reconciler.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_billed_under_two_names_here_is_named_and_its_bill_counts_once() {
    let world = World::new().await;
    let studio = Workspace::new("studio", "12").key("key-a:secret").key("key-b:secret");
    world.fal.world().add(studio);
    let told = world.stored("a", "prod", None).await;
    world.stored("b", "", None).await;
    world.credit(7, 1_000).await;
    world.sound("one", 7, (1, "b", "studio")).await;
    world.later();
    let outcome = world.reconcile(true).await;
    assert_eq!((outcome.run.state, asked(&world, "billing-events")), (RunState::Partial, 1));
    assert_eq!(outcome.failures(), [(told, "billing_events", Reason::UpstreamUnavailable, 0)]);
    let summary = outcome.summary.unwrap();
    assert!(
        summary.failures[0].message.contains("--workspace studio"),
        "it says what to do: {}",
        summary.failures[0].message
    );
    assert_eq!(summary.report.totals.official_cost_nano_usd, 20_000_000);
    assert_eq!(world.billed_cost("one").await, Some(20_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_name_fal_does_not_tell_is_not_billed_beside_others_that_it_may_be() {
    let world = World::new().await;
    let studio = Workspace::new("studio", "12").key("key-a:secret").key("key-b:secret");
    world.fal.world().add(studio);
    let unnamed = world.stored("a", "", None).await;
    world.stored("b", "studio", None).await;
    world.credit(7, 1_000).await;
    world.sound("one", 7, (1, "b", "studio")).await;
    world.later();
    // As many as the client tries for one question: the first asker's.
    world.fal.world().plan(Route::Account, 2, Fault::Error(500, "server_error"));
    let outcome = world.reconcile(true).await;
    assert_eq!(outcome.run.state, RunState::Partial);
    assert!(
        outcome.failures().contains(&(unnamed, "billing_events", Reason::UpstreamUnavailable, 500)),
        "{:?}",
        outcome.failures()
    );
    assert_eq!(outcome.summary.unwrap().report.totals.official_cost_nano_usd, 20_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_an_account_that_is_gone_leave_the_run_partial() {
    let world = World::new().await;
    let gone = world.account("a", "w").await;
    world.account("b", "v").await;
    world.credit(7, 1_000).await;
    world.sound("one", 7, (1, "a", "w")).await;
    let delete = scrip::keypool::Command::Delete { account_id: gone, reason: "".into() };
    world.engine.handle().keys(delete, "", &"test".into(), None).await.unwrap();
    world.later();
    let outcome = world.reconcile(false).await;
    assert_eq!(outcome.run.state, RunState::Partial);
    assert_eq!(outcome.summary.unwrap().report.totals.unjudged_tasks, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cost_is_that_of_the_whole_task_however_far_it_ran_past_the_period() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.credit(7, 1_000).await;
    world.started("long", 7, 100, (23, "a")).await;
    world.bill("w", "long", 23, "0.01");
    world.bill("w", "long", 26, "0.02");
    world.clock.set(START + 26 * HOUR + HOUR / 10);
    world.completed("long", 7, Some(30_000_000)).await;
    world.later();
    let outcome = world.reconcile(true).await;
    assert_eq!((outcome.run.state, outcome.rules()), (RunState::Completed, vec![]));
    assert_eq!(world.billed_cost("long").await, Some(30_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_works_at_its_own_run_and_leaves_those_of_others_alone() {
    let world = World::new().await;
    world.account("a", "w").await;
    world.later();
    // Begun by a process that stops before it works at it.
    let other = world.reconciler_with(Options { works: Works::AtItsOwn, ..Options::default() });
    let handle = other.handle();
    other.drain().await;
    let left = handle.start(&day(), &"other".into()).await.unwrap().run.id;
    let command = world.reconciler_with(Options { works: Works::AtItsOwn, ..Options::default() });
    let own = crate::world::reconcile(&command.handle(), day()).await;
    assert_eq!(own.run.state, RunState::Completed);
    command.drain().await;
    let store = world.store.reconcile().unwrap();
    assert_eq!(store.run(left).await.unwrap().unwrap().state, RunState::Running);
}
