//! The rules that never bend, of random histories.
//!
//! That purses conserve what moves through them, that none falls below zero, that refunds keep to the charge, that a
//! hold resolves once, and that chains are gapless and continuous, is asked by `step` of every batch in this file.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::generate::{Round, START, rounds, singles, submitted};
use super::ledger::decide::{Done, Outcome};
use super::ledger::{
    Attempt, Batch, Command, Entry, EntryRange, Footprint, Frozen, Method, Micros, Rejection, RequestRecord,
    Submission, Task, Text, User, UserId, Work, decide,
};
use super::world::World;
use super::{step, step_one};

/// Everything but the row ids: one batch numbers its tasks in the order of their names.
#[derive(Debug, PartialEq)]
struct Content {
    users: Vec<User>,
    tasks: Vec<(Task, Text, Text)>,
    entries: Vec<Entry>,
    attempts: Vec<Attempt>,
    requests: Vec<RequestRecord>,
}

fn content(world: &World) -> Content {
    let task = |row: &super::world::TaskRow| {
        (row.task.clone(), Text::clone(&row.input_params), Text::clone(&row.output_params))
    };
    Content {
        users: world.users().values().copied().collect(),
        tasks: world.tasks().values().map(task).collect(),
        entries: world.entries().values().map(|row| row.entry.clone()).collect(),
        attempts: world.attempts().values().cloned().collect(),
        requests: world.requests().values().cloned().collect(),
    }
}

fn range_of(done: &Done) -> Option<EntryRange> {
    let first = done.entries.first()?;
    Some(EntryRange { first_seq: first.user_seq, count: i16::try_from(done.entries.len()).expect("few") })
}

/// What a command that was done now changes in what its user owns, by its own words and the task it found.
fn owed(command: &Command, task: Option<&Task>) -> i64 {
    let left = || task.map_or(0, |task| task.refundable().total());
    match command {
        Command::Charge(command) => -command.amount,
        Command::Capture(command) => -command.amount,
        Command::Debit(command) => -command.amount,
        Command::Credit(command) => command.amount,
        Command::Refund(command) => command.amount.unwrap_or_else(left),
        Command::CompleteTask(command) => -command.capture_amount.unwrap_or(0),
        Command::FailTask(command) if !command.no_refund => left(),
        Command::FailTask(_)
        | Command::Authorize(_)
        | Command::Void(_)
        | Command::SelectKey(_)
        | Command::StartTask(_)
        | Command::NoteAttempt(_)
        | Command::ExpireHold(_) => 0,
    }
}

/// The kind of an outcome, in one word.
fn kind(outcome: &Outcome) -> String {
    match outcome {
        Ok(done) if done.late => "late".to_owned(),
        Ok(done) if done.replayed => "replayed".to_owned(),
        Ok(_) => "done".to_owned(),
        Err(rejection) => {
            let word = format!("{rejection:?}");
            word.split([' ', '(']).next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn the_histories_meet_every_outcome_of_every_method() {
    let mut runner = TestRunner::deterministic();
    let mut met: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut anywhere = BTreeSet::new();
    for _ in 0..400 {
        let rounds = rounds().new_tree(&mut runner).expect("a history").current();
        let (mut world, mut now) = (World::default(), START);
        for round in rounds {
            now = now.plus(round.advance);
            let outcomes = step(&mut world, now, &round.work).expect("invariants").outcomes;
            for (work, outcomes) in round.work.iter().zip(&outcomes) {
                anywhere.extend(outcomes.iter().map(kind));
                if let Work::One(submission) = work {
                    let method = submission.command.method().to_string();
                    met.entry(method).or_default().insert(kind(&outcomes[0]));
                }
            }
        }
    }
    // These histories have no key pool and no reconciliation.
    let of_other_rooms = [
        Method::SelectKey,
        Method::CreateAccount,
        Method::UpdateAccount,
        Method::DeleteAccount,
        Method::NoteAttempt,
        Method::StartReconciliation,
    ];
    for method in Method::ALL.iter().filter(|method| !of_other_rooms.contains(method)) {
        let met = &met[method.as_str()];
        assert!(met.contains("done"), "{method} was never done: {met:?}");
        let repeats = *method == Method::ExpireHold || met.contains("replayed");
        assert!(repeats, "{method} was never replayed: {met:?}");
        assert!(met.len() >= 3, "{method} was refused in no way: {met:?}");
    }
    let refusals = [
        "late",
        "InvalidField",
        "RequestIdReused",
        "TaskAlreadyCharged",
        "InsufficientBalance",
        "UserNotFound",
        "TaskNotFound",
        "RefundExceedsCharge",
        "TaskStateConflict",
        "HoldExpired",
        "CaptureExceedsHold",
        "BatchAborted",
    ];
    for refusal in refusals {
        assert!(anywhere.contains(refusal), "{refusal} was never met: {anywhere:?}");
    }
}

fn run(rounds: &[Round]) -> Result<(World, Micros), TestCaseError> {
    let (mut world, mut now) = (World::default(), START);
    for round in rounds {
        now = now.plus(round.advance);
        step(&mut world, now, &round.work)?;
    }
    Ok((world, now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_batch_of_every_history_keeps_every_invariant(rounds in rounds()) {
        run(&rounds)?;
    }

    #[test]
    fn a_user_owns_what_the_acknowledged_commands_add_up_to(rounds in singles()) {
        let (mut world, mut now) = (World::default(), START);
        let mut owned: BTreeMap<UserId, i64> = BTreeMap::new();
        for round in rounds {
            now = now.plus(round.advance);
            let Work::One(submission) = &round.work[0] else { continue };
            let task = submission.command.task_id().and_then(|id| Some(world.tasks().get(id)?.task.clone()));
            let (outcome, _) = step_one(&mut world, now, &round.work[0])?;
            let user_id = submission.command.user_id();
            if outcome.is_ok_and(|done| !done.replayed && !done.late) {
                *owned.entry(user_id).or_default() += owed(&submission.command, task.as_ref());
            }
            let total = world.users().get(&user_id).map_or(0, |user| user.balance.total());
            prop_assert_eq!(total, owned.get(&user_id).copied().unwrap_or(0), "after {:?}", submission.command);
        }
    }

    #[test]
    fn a_batch_decides_as_its_items_would_one_by_one(
        history in rounds(),
        items in prop::collection::vec(submitted(), 0..12),
    ) {
        let (mut together, now) = run(&history)?;
        let mut alone = together.clone();
        let mut as_batch = together.clone();
        let work: Vec<Work> = items.iter().cloned().map(Work::One).collect();
        let outcomes: Vec<Outcome> = step(&mut together, now, &work)?.outcomes.into_iter().flatten().collect();
        let mut one_by_one = Vec::new();
        for work in &work {
            one_by_one.push(step_one(&mut alone, now, work)?.0);
        }
        prop_assert_eq!(&outcomes, &one_by_one);
        prop_assert_eq!(content(&together), content(&alone));

        let batch = Work::Batch(Batch { atomic: false, items: items.into_iter().map(Ok).collect() });
        let batched = step(&mut as_batch, now, &[batch])?.outcomes.remove(0);
        prop_assert_eq!(batched, one_by_one);
        prop_assert_eq!(content(&as_batch), content(&alone));
    }

    #[test]
    fn an_atomic_batch_is_its_items_one_by_one_or_nothing(
        history in rounds(),
        items in prop::collection::vec(submitted(), 0..6),
    ) {
        let (mut world, now) = run(&history)?;
        let before = world.clone();
        let mut alone = world.clone();
        let mut one_by_one = Vec::new();
        for submission in items.iter().cloned() {
            one_by_one.push(step_one(&mut alone, now, &Work::One(submission))?.0);
        }
        let batch = Work::Batch(Batch { atomic: true, items: items.into_iter().map(Ok).collect() });
        let outcomes = step(&mut world, now, &[batch])?.outcomes.remove(0);
        match one_by_one.iter().position(Result::is_err) {
            None => {
                prop_assert_eq!(outcomes, one_by_one);
                prop_assert_eq!(content(&world), content(&alone));
            }
            Some(index) => {
                prop_assert_eq!(world, before);
                let expected: Vec<Outcome> = one_by_one
                    .into_iter()
                    .map(|outcome| outcome.and(Err(Rejection::BatchAborted { index })))
                    .collect();
                prop_assert_eq!(outcomes, expected);
            }
        }
    }

    #[test]
    fn a_repeat_under_its_request_id_answers_as_the_original_whatever_came_between(rounds in singles()) {
        let (mut world, mut now) = (World::default(), START);
        let mut originals: Vec<(Work, Outcome)> = Vec::new();
        for round in rounds {
            now = now.plus(round.advance);
            let known = world.requests().len();
            let (outcome, _) = step_one(&mut world, now, &round.work[0])?;
            if world.requests().len() > known {
                originals.push((round.work[0].clone(), outcome));
            }
        }
        now = now.plus(5);
        for (work, original) in originals {
            let (again, plan) = step_one(&mut world, now, &work)?;
            prop_assert!(plan.is_empty(), "a replay writes nothing");
            match (original, again) {
                (Ok(original), Ok(again)) => {
                    prop_assert!(again.replayed && again.entries.is_empty());
                    prop_assert_eq!(again.earlier_entries, range_of(&original).or(original.earlier_entries));
                    prop_assert_eq!(again.late, original.late);
                    prop_assert_eq!(&again.user, world.user(again.user.user_id));
                    let task = original.task.map(|task| world.task(&task.task_id));
                    prop_assert_eq!(again.task.as_deref(), task);
                }
                (original, again) => prop_assert_eq!(again, original),
            }
        }
    }

    #[test]
    fn a_charge_or_hold_that_was_done_is_recognised_for_ever_without_a_request_id(rounds in singles()) {
        let (mut world, mut now) = (World::default(), START);
        let mut created = Vec::new();
        for round in rounds {
            now = now.plus(round.advance);
            let known = world.tasks().len();
            let (outcome, _) = step_one(&mut world, now, &round.work[0])?;
            if world.tasks().len() > known {
                created.push((round.work[0].clone(), outcome.expect("it made a task")));
            }
        }
        for (work, original) in created {
            let Work::One(submission) = work else { continue };
            let bare = Submission { request_id: None, ..submission };
            let (again, plan) = step_one(&mut world, now, &Work::One(bare))?;
            let again = again.expect("a replay");
            prop_assert!(again.replayed && plan.is_empty());
            prop_assert_eq!(again.earlier_entries, range_of(&original));
        }
    }

    #[test]
    fn a_refusal_leaves_no_trace_but_its_frozen_outcome(rounds in singles()) {
        let (mut world, mut now) = (World::default(), START);
        for round in rounds {
            now = now.plus(round.advance);
            let before = world.clone();
            let Work::One(submission) = &round.work[0] else { continue };
            let (outcome, plan) = step_one(&mut world, now, &round.work[0])?;
            let Err(rejection) = outcome else { continue };
            prop_assert!(plan.users.is_empty() && plan.tasks.is_empty());
            prop_assert!(plan.entries.is_empty() && plan.attempts.is_empty());
            let key = submission.request_id.clone().map(|id| (submission.command.user_id(), id));
            let fresh = key.is_some_and(|key| !before.requests().contains_key(&key));
            prop_assert_eq!(plan.requests.len() == 1, fresh && rejection.freeze().is_some());
            prop_assert!(plan.requests.iter().all(|record| matches!(record.frozen, Frozen::Refused(_))));
        }
    }

    #[test]
    fn the_footprint_is_all_that_a_decision_rests_on(
        history in rounds(),
        work in prop::collection::vec(super::generate::work(), 1..6),
    ) {
        let (world, now) = run(&history)?;
        let footprint = Footprint::of(&work);
        let everything = Footprint {
            users: world.users().keys().copied().chain(footprint.users.iter().copied()).collect(),
            tasks: world.tasks().keys().cloned().chain(footprint.tasks.iter().cloned()).collect(),
            requests: world.requests().keys().cloned().chain(footprint.requests.iter().cloned()).collect(),
        };
        prop_assert_eq!(
            decide(world.snapshot(&footprint, now), &work),
            decide(world.snapshot(&everything, now), &work)
        );
    }
}
