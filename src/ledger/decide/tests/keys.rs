//! Keys in the ledger's decisions: a lease comes with a charge or is named by a report, from a pool that is scripted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::Decider;
use super::commands::{
    AsCommand, authorize, charge, complete, expire, fail, note, select, selection, start, submission, text,
};
use super::{Bench, Done, Outcome, Rejection, USER, invariants};
use crate::ledger::command::{Authorize, Charge, Command, CompleteTask, FailTask, SelectKey, StartTask};
use crate::ledger::{
    Batch, Footprint, Frozen, HoldState, KeyAsk, Keys, LeaseOutcome, Leased, NamedLease, Report, TaskStatus,
    Text, Why, Work,
};

/// A pool that answers what it was told to, and notes what was asked of it.
#[derive(Default)]
struct Scripted {
    next: VecDeque<Result<Leased, Rejection>>,
    leases: BTreeMap<Text, NamedLease>,
    leased_tasks: BTreeSet<Text>,
    /// Model and the key that is needed again, of each selection.
    asked: Vec<(Text, Option<Text>)>,
    started: Vec<Text>,
    released: Vec<(Text, Report)>,
}

impl Keys for Scripted {
    fn lease(&mut self, ask: &KeyAsk<'_>) -> Result<Leased, Rejection> {
        self.asked.push((Arc::clone(ask.app_name), ask.running_on.cloned()));
        let leased = self.next.pop_front().expect("a selection that the test expects")?;
        let (task_id, key_id) = (Arc::clone(ask.task_id), Arc::clone(&leased.key_id));
        self.leases
            .insert(Arc::clone(&leased.lease_id), NamedLease { task_id, key_id, is_superseded: false });
        Ok(leased)
    }

    fn named(&self, lease_id: &Text) -> Option<NamedLease> {
        self.leases.get(lease_id).cloned()
    }

    fn is_leased(&self, task_id: &Text) -> bool {
        self.leased_tasks.contains(task_id)
    }

    fn started(&mut self, lease_id: &Text) {
        self.started.push(Arc::clone(lease_id));
    }

    fn release(&mut self, lease_id: &Text, report: &Report) {
        self.released.push((Arc::clone(lease_id), report.clone()));
    }
}

/// A world and its pool.
struct Keyed {
    bench: Bench,
    keys: Scripted,
}

impl Keyed {
    /// A world in which the user can pay, and a pool that will give lease `l-1` of key `k-1`, then `l-2` of `k-2`, ….
    fn giving(leases: usize) -> Self {
        let give = |number| Ok(leased(&format!("l-{number}"), &format!("k-{number}")));
        let keys = Scripted { next: (1..=leases).map(give).collect(), ..Scripted::default() };
        Self { bench: Bench::with(1_000, 0), keys }
    }

    #[track_caller]
    fn work(&mut self, work: &Work) -> Vec<Outcome> {
        let footprint = Footprint::of(std::slice::from_ref(work));
        let mut decider = Decider::new(self.bench.world.snapshot(&footprint, self.bench.now));
        let outcomes = decider.work(work, &mut self.keys);
        self.bench.plan = decider.into_plan();
        let before = self.bench.world.clone();
        self.bench.world.apply(&self.bench.plan).expect("the tables take the plan");
        let mut wrong = invariants::of_world(&self.bench.world);
        wrong.extend(invariants::of_step(&before, &self.bench.world));
        assert!(wrong.is_empty(), "{wrong:#?}");
        outcomes
    }

    #[track_caller]
    fn run(&mut self, request_id: &str, command: impl AsCommand) -> Outcome {
        let submission = submission(request_id, command)?;
        self.work(&Work::One(submission)).remove(0)
    }

    #[track_caller]
    fn ok(&mut self, command: impl AsCommand) -> Done {
        let done = self.run("", command).expect("done");
        assert!(!done.replayed, "done now, not before");
        done
    }

    #[track_caller]
    fn replay(&mut self, command: impl AsCommand) -> Done {
        let done = self.run("", command).expect("replayed");
        assert!(done.replayed && self.bench.plan.is_empty(), "{:?}", self.bench.plan);
        done
    }

    #[track_caller]
    fn refused(&mut self, command: impl AsCommand) -> Rejection {
        let rejection = self.run("", command).expect_err("refused");
        assert!(self.bench.plan.is_empty(), "a refusal leaves no trace: {:?}", self.bench.plan);
        rejection
    }

    /// The key and the lease on a task's row.
    fn key_of(&self, task_id: &str) -> (String, Option<String>) {
        let task = self.bench.world.task(task_id);
        (task.key_id.to_string(), task.lease_id.as_ref().map(ToString::to_string))
    }

    /// Each attempt of a task: fal's id, key, lease.
    fn attempts(&self, task_id: &str) -> Vec<(String, String, Option<String>)> {
        let of_task = self.bench.world.attempts().values().filter(|attempt| &*attempt.task_id == task_id);
        of_task
            .map(|attempt| {
                let lease_id = attempt.lease_id.as_ref().map(ToString::to_string);
                (attempt.online_task_id.to_string(), attempt.key_id.to_string(), lease_id)
            })
            .collect()
    }
}

fn leased(lease_id: &str, key_id: &str) -> Leased {
    Leased { lease_id: text(lease_id), key_id: text(key_id), again: false }
}

fn busy() -> Rejection {
    Rejection::NoKeyAvailable { why: Why::AllBusy, retry_after_micros: 1_000 }
}

fn with_key(task_id: &str, amount: i64) -> Charge {
    Charge { select_key: Some(Box::new(selection("runner", "l-1"))), ..charge(task_id, amount) }
}

fn leasing(task_id: &str, lease_id: &str, online_task_id: &str) -> StartTask {
    StartTask { lease_id: text(lease_id), key_id: text(""), ..start(task_id, online_task_id) }
}

fn ended(task_id: &str, lease_id: &str) -> CompleteTask {
    CompleteTask { lease_id: text(lease_id), ..complete(task_id) }
}

fn pair(key_id: &str, lease_id: &str) -> (String, Option<String>) {
    (key_id.to_owned(), Some(lease_id.to_owned()))
}

#[test]
fn a_charge_or_hold_with_a_key_writes_it_on_the_task_and_the_lease_on_the_record() {
    let held = Authorize { charge: with_key("t", 60), ttl_micros: None };
    for command in [with_key("t", 60).command(), held.command()] {
        let mut keyed = Keyed::giving(1);
        let done = keyed.run("r", command).expect("done");
        assert_eq!(done.lease_id.as_deref(), Some("l-1"));
        assert_eq!(keyed.key_of("t"), pair("k-1", "l-1"));
        assert_eq!(done.task.map(|task| task.status), Some(TaskStatus::Pending));
        let Frozen::Done { lease_id, .. } = &keyed.bench.world.requests()[&(USER, text("r"))].frozen else {
            panic!("it was done")
        };
        assert_eq!(lease_id.as_deref(), Some("l-1"));
        assert!(keyed.attempts("t").is_empty(), "nothing has run yet");
    }
}

#[test]
fn where_no_key_is_free_nothing_is_charged_and_the_refusal_is_not_frozen() {
    let held = Authorize { charge: with_key("t", 60), ttl_micros: None };
    for command in [with_key("t", 60).command(), held.command()] {
        let mut keyed = Keyed::giving(1);
        keyed.keys.next.push_front(Err(busy()));
        let before = keyed.bench.world.clone();
        assert_eq!(keyed.run("r", command.clone()), Err(busy()));
        assert_eq!(keyed.bench.world, before, "no money moved, no task, no record");
        let done = keyed.run("r", command).expect("a key is free now");
        assert!(!done.replayed);
    }
}

#[test]
fn a_charge_that_cannot_be_paid_takes_no_key() {
    let mut keyed = Keyed::giving(0);
    let refused = keyed.refused(with_key("t", 1_001));
    assert!(matches!(refused, Rejection::InsufficientBalance { .. }), "{refused:?}");
    assert!(keyed.keys.asked.is_empty());
}

#[test]
fn an_atomic_batch_is_undone_where_one_of_its_charges_finds_no_key() {
    let mut keyed = Keyed::giving(1);
    keyed.keys.next.push_back(Err(busy()));
    let before = keyed.bench.world.clone();
    let items = vec![submission("", with_key("a", 10)), submission("", with_key("b", 10))];
    let outcomes = keyed.work(&Work::Batch(Batch { atomic: true, items }));
    assert_eq!(outcomes, [Err(Rejection::BatchAborted { index: 1 }), Err(busy())]);
    assert_eq!(keyed.bench.world, before);
}

#[test]
fn a_replay_shows_the_lease_only_to_a_call_that_asks_for_a_key() {
    for request_id in ["", "r"] {
        let mut keyed = Keyed::giving(1);
        keyed.run(request_id, with_key("t", 60)).expect("charged");
        let again = keyed.run(request_id, with_key("t", 60)).expect("replayed");
        assert_eq!((again.replayed, again.lease_id.as_deref()), (true, Some("l-1")));
        let without =
            keyed.run(request_id, charge("t", 60)).expect("replayed: the key is no part of the content");
        assert_eq!((without.replayed, without.lease_id), (true, None));
        assert_eq!(keyed.keys.asked.len(), 1, "nothing was leased again");
    }
}

#[test]
fn a_pending_task_is_given_a_key_on_its_row() {
    let mut keyed = Keyed::giving(2);
    keyed.ok(charge("t", 60));
    let done = keyed.run("r", select("t", "runner", "l-1")).expect("a key");
    assert_eq!((done.lease_id.as_deref(), done.entries.len()), (Some("l-1"), 0));
    assert_eq!(keyed.key_of("t"), pair("k-1", "l-1"));
    let again = keyed.run("r", select("t", "runner", "l-2")).expect("replayed");
    assert_eq!((again.replayed, again.lease_id.as_deref()), (true, Some("l-1")));
    let other = SelectKey { app_name: text("fal-ai/other"), ..select("t", "runner", "l-2") };
    keyed.ok(other);
    assert_eq!(keyed.key_of("t"), pair("k-2", "l-2"));
    let asked: Vec<_> = keyed.keys.asked.iter().map(|(app, running)| (&**app, running.is_some())).collect();
    assert_eq!(asked, [("fal-ai/flux/dev", false), ("fal-ai/other", false)]);
}

#[test]
fn a_processing_task_needs_its_own_key_again_and_its_row_waits_for_the_next_start() {
    let mut keyed = Keyed::giving(2);
    keyed.ok(with_key("t", 60));
    keyed.ok(leasing("t", "l-1", "online-1"));
    let done = keyed.ok(select("t", "another", "l-2"));
    assert_eq!(done.lease_id.as_deref(), Some("l-2"));
    assert_eq!(keyed.keys.asked[1].1.as_deref(), Some("k-1"), "the job may still run there");
    assert_eq!(keyed.key_of("t"), pair("k-1", "l-1"));
    keyed.ok(leasing("t", "l-2", "online-2"));
    assert_eq!(keyed.key_of("t"), pair("k-2", "l-2"));
}

#[test]
fn a_runner_that_holds_the_lease_already_is_answered_it_and_nothing_is_written() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(with_key("t", 60));
    keyed.keys.next.push_back(Ok(Leased { again: true, ..leased("l-1", "k-1") }));
    assert_eq!(keyed.replay(select("t", "runner", "l-9")).lease_id.as_deref(), Some("l-1"));
}

#[test]
fn a_task_that_has_ended_or_is_not_there_is_given_no_key() {
    let mut keyed = Keyed::giving(0);
    for task_id in ["completed", "failed", "canceled"] {
        match task_id {
            "completed" => {
                keyed.ok(charge(task_id, 10));
                keyed.ok(complete(task_id));
            }
            "failed" => {
                keyed.ok(charge(task_id, 10));
                keyed.ok(fail(task_id));
            }
            _ => {
                keyed.ok(authorize(task_id, 10));
                keyed.ok(super::commands::void(task_id));
            }
        }
        let refused = keyed.refused(select(task_id, "runner", "l-1"));
        assert!(matches!(refused, Rejection::TaskStateConflict { .. }), "{task_id}: {refused:?}");
    }
    assert_eq!(keyed.refused(select("none", "runner", "l-1")), Rejection::TaskNotFound(text("none")));
    assert!(keyed.keys.asked.is_empty());
}

#[test]
fn a_selection_that_finds_no_key_leaves_the_task_as_it_was_and_may_come_again() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(charge("t", 60));
    keyed.keys.next.push_front(Err(busy()));
    assert_eq!(keyed.run("r", select("t", "runner", "l-1")), Err(busy()));
    assert!(keyed.bench.plan.is_empty());
    assert!(keyed.run("r", select("t", "runner", "l-1")).is_ok());
}

#[test]
fn a_start_by_lease_takes_its_key_and_tells_the_pool() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(with_key("t", 60));
    keyed.ok(leasing("t", "l-1", "online-1"));
    assert_eq!(keyed.key_of("t"), pair("k-1", "l-1"));
    let attempt = ("online-1".to_owned(), "k-1".to_owned(), Some("l-1".to_owned()));
    assert_eq!(keyed.attempts("t"), [attempt]);
    let named = StartTask { key_id: text("k-1"), ..leasing("t", "l-1", "online-1") };
    keyed.replay(named);
    assert_eq!(keyed.keys.started.len(), 2, "a repeated start is a sign of life as well");
    assert!(keyed.keys.released.is_empty());
}

#[test]
fn a_start_by_the_wrong_lease_or_key_is_refused_and_tells_the_pool_nothing() {
    let mut keyed = Keyed::giving(2);
    keyed.ok(with_key("t", 60));
    keyed.ok(with_key("other", 60));
    assert_eq!(keyed.refused(leasing("t", "l-9", "o")), Rejection::LeaseNotFound(text("l-9")));
    let field = |rejection: Rejection| format!("{rejection:?}");
    assert!(field(keyed.refused(leasing("t", "l-2", "o"))).contains("is the lease of another task"));
    let key = StartTask { key_id: text("k-2"), ..leasing("t", "l-1", "o") };
    assert!(field(keyed.refused(key)).contains("is not the key of the lease"));
    keyed.keys.leases.get_mut("l-1").expect("it was given").is_superseded = true;
    assert_eq!(keyed.refused(leasing("t", "l-1", "o")), Rejection::LeaseSuperseded(text("l-1")));
    assert!(keyed.keys.started.is_empty());
}

#[test]
fn a_start_of_a_task_that_ended_does_not_touch_its_lease() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(with_key("t", 60));
    keyed.ok(fail("t"));
    assert!(matches!(keyed.refused(leasing("t", "l-1", "o")), Rejection::TaskStateConflict { .. }));
    assert!(keyed.keys.started.is_empty());
}

#[test]
fn a_completed_task_gives_its_key_back_also_late_and_repeated() {
    let mut keyed = Keyed::giving(2);
    keyed.ok(with_key("t", 60));
    let released = |keyed: &mut Keyed| std::mem::take(&mut keyed.keys.released);
    keyed.ok(CompleteTask { online_task_id: text("online-1"), ..ended("t", "l-1") });
    assert_eq!(released(&mut keyed), [(text("l-1"), Report::succeeded())]);
    let attempt = ("online-1".to_owned(), "k-1".to_owned(), Some("l-1".to_owned()));
    assert_eq!(keyed.attempts("t"), [attempt]);
    keyed.replay(CompleteTask { online_task_id: text("online-1"), ..ended("t", "l-1") });
    assert_eq!(released(&mut keyed).len(), 1, "the first answer may never have come");

    keyed.ok(with_key("late", 60));
    keyed.ok(fail("late"));
    let late = keyed.ok(ended("late", "l-2"));
    assert!(late.late);
    assert_eq!(released(&mut keyed), [(text("l-2"), Report::succeeded())]);
    let differs = CompleteTask { cost_nano_usd: Some(1), ..ended("t", "l-1") };
    assert!(matches!(keyed.refused(differs), Rejection::TaskStateConflict { .. }));
    assert!(released(&mut keyed).is_empty(), "a refusal releases nothing");
}

#[test]
fn a_superseded_runner_may_complete_its_task_and_not_fail_it() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(with_key("t", 60));
    keyed.keys.leases.get_mut("l-1").expect("it was given").is_superseded = true;
    let failing = FailTask { lease_id: text("l-1"), ..fail("t") };
    assert_eq!(keyed.refused(failing), Rejection::LeaseSuperseded(text("l-1")));
    assert!(keyed.keys.released.is_empty());
    keyed.ok(ended("t", "l-1"));
}

#[test]
fn a_failed_task_passes_its_report_on_and_pays_back() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(with_key("t", 60));
    let report = Report {
        outcome: Some(LeaseOutcome::UpstreamError),
        http_status: Some(503),
        error_message: text("overloaded"),
        retry_after_micros: Some(1_000_000),
        latency_micros: None,
    };
    let failing = FailTask { lease_id: text("l-1"), report: Box::new(report.clone()), ..fail("t") };
    keyed.ok(failing.clone());
    assert_eq!(keyed.keys.released, [(text("l-1"), report)]);
    assert_eq!(keyed.bench.balance().points, 1_000);
    keyed.replay(failing);
    assert_eq!(keyed.keys.released.len(), 2, "whoever reported first is believed by the pool");
}

#[test]
fn a_report_by_another_tasks_lease_changes_nothing() {
    let mut keyed = Keyed::giving(2);
    keyed.ok(with_key("t", 60));
    keyed.ok(with_key("other", 60));
    let failing: Command = FailTask { lease_id: text("l-2"), ..fail("t") }.command();
    for command in [ended("t", "l-2").command(), failing] {
        assert!(format!("{:?}", keyed.refused(command)).contains("is the lease of another task"));
    }
    assert_eq!(keyed.refused(ended("t", "l-9")), Rejection::LeaseNotFound(text("l-9")));
    assert!(keyed.keys.released.is_empty());
}

#[test]
fn a_hold_does_not_expire_while_its_task_is_leased() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(Authorize { charge: with_key("h", 60), ttl_micros: Some(1_000_000) });
    keyed.bench.pass(2_000_000);
    keyed.keys.leased_tasks.insert(text("h"));
    assert!(matches!(keyed.refused(expire("h")), Rejection::TaskStateConflict { .. }));
    keyed.keys.leased_tasks.clear();
    let done = keyed.ok(expire("h"));
    assert_eq!(done.task.and_then(|task| task.hold_state), Some(HoldState::Expired));
}

#[test]
fn a_job_whose_key_was_given_back_is_noted_once_whatever_became_of_its_task() {
    let mut keyed = Keyed::giving(1);
    keyed.ok(with_key("t", 60));
    keyed.ok(note("t", "online-1", "k-1", "l-1"));
    keyed.replay(note("t", "online-1", "k-1", "l-1"));
    keyed.ok(fail("t"));
    keyed.ok(note("t", "online-2", "k-2", "l-2"));
    let attempt =
        |number: u32| (format!("online-{number}"), format!("k-{number}"), Some(format!("l-{number}")));
    assert_eq!(keyed.attempts("t"), [attempt(1), attempt(2)]);
    let task = keyed.bench.world.task("t");
    assert_eq!((task.status, task.attempts.len()), (TaskStatus::Failed, 2));
    assert_eq!(keyed.refused(note("none", "o", "k", "l")), Rejection::TaskNotFound(text("none")));
}

#[test]
fn a_job_that_was_given_up_does_not_take_the_row_from_the_one_that_runs() {
    let mut keyed = Keyed::giving(2);
    keyed.ok(with_key("t", 60));
    keyed.ok(select("t", "another", "l-2"));
    keyed.ok(note("t", "online-1", "k-1", "l-1"));
    assert_eq!(keyed.key_of("t"), pair("k-2", "l-2"), "it was given to another before it started");
    keyed.ok(leasing("t", "l-2", "online-2"));
    keyed.ok(note("t", "online-0", "k-0", "l-0"));
    assert_eq!(keyed.key_of("t"), pair("k-2", "l-2"));
    assert_eq!(&*keyed.bench.world.task("t").online_task_id, "online-2");
    let jobs: Vec<String> = keyed.attempts("t").into_iter().map(|(job, ..)| job).collect();
    assert_eq!(jobs, ["online-1", "online-2", "online-0"]);
}
