//! Random histories, the same on every backend: the outcomes and everything stored are those of the memory.

use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use scrip::ledger::decide::Outcome;
use scrip::ledger::{Command, Entry, Hash, Micros, Submission, Task, User, Work};
use scrip::store::rows::{Range, StoredPoints};
use scrip::store::{EntryQuery, Page, Reader, TaskQuery};

use crate::bench::{Bench, Stored};
use crate::generate::{Round, rounds};

/// Rounds of random batches from a seed. A hold either lasts or is over by the next batch, on any clock.
fn history(seed: u8) -> Vec<Round> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut history = Vec::new();
    // Several short histories in a row: one tree alone would end after a few rounds.
    for part in 0..8 {
        let rounds = rounds().new_tree(&mut runner).expect("a history").current();
        history.extend(rounds.into_iter().map(|round| of_part(round, &format!("-{seed}-{part}"))));
    }
    history
}

fn of_part(mut round: Round, part: &str) -> Round {
    let submissions = round.work.iter_mut().flat_map(|work| match work {
        Work::One(submission) => vec![submission],
        Work::Batch(batch) => batch.items.iter_mut().flatten().collect(),
    });
    for submission in submissions {
        rename(submission, part);
    }
    round
}

/// Other tasks and request ids in each part, and holds that are brief or long.
fn rename(submission: &mut Submission, part: &str) {
    let named = |id: &mut Arc<str>| *id = format!("{id}{part}").into();
    match &mut submission.command {
        Command::Charge(command) => named(&mut command.task_id),
        Command::Authorize(command) => {
            named(&mut command.charge.task_id);
            let brief = command.ttl_micros.is_some_and(|ttl| ttl % 2 == 1);
            command.ttl_micros = Some(if brief { 1 } else { 86_400_000_000 });
        }
        Command::Capture(command) => named(&mut command.task_id),
        Command::Void(command) => named(&mut command.task_id),
        Command::Refund(command) => named(&mut command.task_id),
        Command::StartTask(command) => named(&mut command.task_id),
        Command::CompleteTask(command) => named(&mut command.task_id),
        Command::FailTask(command) => named(&mut command.task_id),
        Command::ExpireHold(command) => named(&mut command.task_id),
        Command::SelectKey(command) => named(&mut command.task_id),
        Command::NoteAttempt(command) => named(&mut command.task_id),
        Command::Credit(_) | Command::Debit(_) => {}
    }
    submission.request_id.iter_mut().for_each(named);
}

/// What is left of a row when its times, and the hashes over them, are taken out.
trait Timeless {
    fn timeless(&mut self);
}

impl Timeless for User {
    fn timeless(&mut self) {
        self.chain_hash = Hash::ZERO;
        (self.last_entry_time, self.create_time, self.update_time) = <_>::default();
    }
}

impl Timeless for Task {
    fn timeless(&mut self) {
        self.create_time = Micros(0);
        self.complete_time = self.complete_time.map(|_| Micros(0));
        self.hold_expire_time = self.hold_expire_time.map(|_| Micros(0));
    }
}

impl Timeless for Entry {
    fn timeless(&mut self) {
        (self.time, self.hash) = (Micros(0), Hash::ZERO);
    }
}

impl Timeless for Vec<Vec<Outcome>> {
    fn timeless(&mut self) {
        for done in self.iter_mut().flatten().flatten() {
            done.user.timeless();
            done.task.iter_mut().for_each(|task| Arc::make_mut(task).timeless());
            done.entries.iter_mut().for_each(|entry| Arc::make_mut(entry).timeless());
        }
    }
}

impl Timeless for Stored {
    fn timeless(&mut self) {
        self.users.iter_mut().for_each(Timeless::timeless);
        self.tasks.iter_mut().for_each(|row| row.task.timeless());
        self.requests.iter_mut().for_each(|row| row.create_time = Micros(0));
        for entry in &mut self.entries {
            (entry.time, entry.entry_hash) = (Micros(0), Hash::ZERO);
            let undated = |points: StoredPoints| StoredPoints { created_at: Micros(0), ..points };
            entry.points = entry.points.take().map(undated);
        }
    }
}

/// Runs a history and answers its outcomes, batch by batch.
async fn run(bench: &mut Bench, history: &[Round]) -> Vec<Vec<Vec<Outcome>>> {
    let mut outcomes = Vec::new();
    for round in history {
        bench.pass(5).await;
        outcomes.push(bench.transact(&round.work).await);
    }
    outcomes
}

pub(crate) async fn random_histories_come_out_as_in_memory(bench: &mut Bench) {
    let mut memory = Bench::model().await.expect("memory is always there");
    for seed in 1..=6 {
        // All in one store, one after the other: a later history meets what the earlier ones left.
        let history = history(seed);
        let mut found = run(bench, &history).await;
        let mut expected = run(&mut memory, &history).await;
        if bench.clock().is_none() {
            // The database's clock dates its rows; all but the dates must agree.
            found.iter_mut().chain(&mut expected).for_each(Timeless::timeless);
        }
        assert_eq!(found.len(), expected.len());
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "seed {seed}, batch {number}: {:?}", history[number].work);
        }
    }
    let (mut found, mut expected) = (bench.stored().await, memory.stored().await);
    if bench.clock().is_none() {
        found.timeless();
        expected.timeless();
    }
    let (tasks, entries) = (found.tasks.len(), found.entries.len());
    assert!(tasks > 60 && entries > 200, "too little to compare: {tasks} tasks, {entries} entries");
    assert_eq!(found, expected);
}

pub(crate) async fn random_histories_are_stored_as_they_were_decided(bench: &mut Bench) {
    for seed in 11..=13 {
        run(bench, &history(seed)).await;
        let shadow = bench.shadow_reader().await;
        same_tasks(bench.reader.as_ref(), shadow.as_ref()).await;
        for user_id in bench.shadow.users().keys() {
            same_entries(bench, shadow.as_ref(), *user_id).await;
        }
    }
}

/// Every page of every list of one user's entries, as memory lists them.
async fn same_entries(bench: &Bench, shadow: &dyn Reader, user_id: i64) {
    let times: Vec<Micros> = bench.shadow.entries().values().map(|row| row.entry.time).collect();
    let middle = times.get(times.len() / 2).copied();
    let ranges = [
        Range::default(),
        Range { start: middle, end: None },
        Range { start: None, end: middle },
        Range { start: times.first().copied(), end: middle.map(|time| time.plus(1)) },
    ];
    for (number, range) in ranges.into_iter().enumerate() {
        let limit = [3, 1_000][number % 2];
        let query = EntryQuery { user_id, purse: None, operation: None, order_id: None, range };
        let mut before = None;
        loop {
            let page = Page { before, limit };
            let found = bench.reader.list_entries(&query, page).await.expect("entries");
            assert_eq!(
                found,
                shadow.list_entries(&query, page).await.expect("entries"),
                "{query:?} {page:?}"
            );
            let Some(last) = found.last() else { break };
            before = Some(last.user_seq);
        }
    }
    for time in times.iter().step_by(7) {
        let found = bench.reader.past_balance(user_id, *time).await.expect("an answer");
        assert_eq!(found, shadow.past_balance(user_id, *time).await.expect("an answer"), "at {time:?}");
    }
}

/// All tasks in order of writing, as memory lists them, whatever the row ids.
async fn same_tasks(reader: &dyn Reader, shadow: &dyn Reader) {
    let listed = async |reader: &dyn Reader| {
        let (mut rows, mut before) = (Vec::new(), None);
        loop {
            let page = Page { before, limit: 5 };
            let more = reader.list_tasks(&TaskQuery::default(), page).await.expect("tasks");
            let Some(last) = more.last() else { return rows };
            before = Some(last.id);
            rows.extend(
                more.into_iter().map(|row| (row.task, row.is_refund, row.input_params, row.output_params)),
            );
        }
    };
    assert_eq!(listed(reader).await, listed(shadow).await);
}
