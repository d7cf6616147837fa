//! Random histories: small numbers everywhere, so that commands meet.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::commands::{self, AsCommand, of_user, one, submission, text};
use super::ledger::command::{
    Authorize, Charge, Command, CompleteTask, Credit, Debit, FailTask, Refund, StartTask, Void,
};
use super::ledger::{Batch, Funding, Micros, Purse, Rejection, SourceType, Submission, UserId, Work};

/// When histories begin.
pub const START: Micros = Micros(1_760_000_000_000_000);

/// One batch, and how long after the batch before it the clock reads its time; it may step back.
#[derive(Clone, Debug)]
pub struct Round {
    pub advance: i64,
    pub work: Vec<Work>,
}

fn user() -> impl Strategy<Value = UserId> {
    1..=3_i64
}

fn task() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c", "d", "e"])
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1..=12_i64, 1 => Just(i64::MAX)]
}

fn funding() -> impl Strategy<Value = Funding> {
    prop_oneof![
        3 => Just(Funding::PointsThenCash),
        1 => Just(Funding::PointsOnly),
        1 => Just(Funding::CashOnly),
    ]
}

fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(""), 1 => Just("x"), 1 => Just("y")]
}

fn charge() -> impl Strategy<Value = Charge> {
    (task(), 0..=12_i64, funding(), word()).prop_map(|(task_id, amount, funding, title)| Charge {
        funding,
        title: text(title),
        ..commands::charge(task_id, amount)
    })
}

fn authorize() -> impl Strategy<Value = Authorize> {
    (task(), 1..=12_i64, funding(), option::of(1..=20_i64)).prop_map(
        |(task_id, amount, funding, ttl_micros)| Authorize {
            charge: Charge { funding, ..commands::charge(task_id, amount) },
            ttl_micros,
        },
    )
}

fn credit() -> impl Strategy<Value = Credit> {
    let purse = prop::sample::select(Purse::ALL);
    let source = prop::sample::select(vec![SourceType::Recharge, SourceType::Gift, SourceType::System]);
    (purse, amount(), source)
        .prop_map(|(purse, amount, source_type)| Credit { source_type, ..commands::credit(purse, amount) })
}

fn complete() -> impl Strategy<Value = CompleteTask> {
    let content = (word(), option::of(0..=3_i64), prop_oneof![Just(""), Just("1.5")], option::of(amount()));
    (task(), content).prop_map(|(task_id, (online, cost_nano_usd, units, capture_amount))| CompleteTask {
        online_task_id: text(online),
        cost_nano_usd,
        billable_units: text(units),
        capture_amount,
        ..commands::complete(task_id)
    })
}

fn start() -> impl Strategy<Value = StartTask> {
    (task(), word()).prop_map(|(task_id, online)| commands::start(task_id, online))
}

fn fail() -> impl Strategy<Value = FailTask> {
    (task(), word(), any::<bool>()).prop_map(|(task_id, online, no_refund)| FailTask {
        online_task_id: text(online),
        no_refund,
        ..commands::fail(task_id)
    })
}

/// Any command of any user.
pub fn command() -> impl Strategy<Value = Command> {
    let refund = (task(), option::of(amount()), word()).prop_map(|(task_id, amount, reason)| Refund {
        amount,
        reason: text(reason),
        ..commands::refund_all(task_id)
    });
    let command = prop_oneof![
        6 => charge().prop_map(AsCommand::command),
        4 => authorize().prop_map(AsCommand::command),
        3 => (task(), amount()).prop_map(|(task_id, amount)| commands::capture(task_id, amount).command()),
        2 => (task(), word()).prop_map(|(task_id, reason)| {
            Void { reason: text(reason), ..commands::void(task_id) }.command()
        }),
        3 => refund.prop_map(AsCommand::command),
        3 => credit().prop_map(AsCommand::command),
        2 => (amount(), funding()).prop_map(|(amount, funding)| Debit { funding, ..commands::debit(amount) }.command()),
        2 => start().prop_map(AsCommand::command),
        2 => complete().prop_map(AsCommand::command),
        2 => fail().prop_map(AsCommand::command),
        2 => task().prop_map(|task_id| commands::expire(task_id).command()),
    ];
    (user(), command).prop_map(|(user_id, command)| of_user(user_id, command))
}

/// Any command, with one of few request ids where it needs one and now and then where it does not.
pub fn submitted() -> impl Strategy<Value = Submission> {
    let id = prop::sample::select(vec!["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"]);
    (command(), id, prop::bool::weighted(0.4)).prop_map(|(command, id, keyed)| {
        let keyed = keyed && !matches!(command, Command::StartTask(_) | Command::ExpireHold(_));
        match submission(if keyed { id } else { "" }, command.clone()) {
            Err(Rejection::RequestIdRequired) => submission(id, command).expect("a well-formed command"),
            submission => submission.expect("a well-formed command"),
        }
    })
}

fn batch() -> impl Strategy<Value = Work> {
    let malformed = Just(submission("", commands::charge("", 1)));
    let item = prop_oneof![12 => submitted().prop_map(Ok), 1 => malformed];
    (any::<bool>(), vec(item, 0..5)).prop_map(|(atomic, items)| Work::Batch(Batch { atomic, items }))
}

/// One command or one batch.
pub fn work() -> impl Strategy<Value = Work> {
    prop_oneof![4 => submitted().prop_map(Work::One), 1 => batch()]
}

fn advance() -> impl Strategy<Value = i64> {
    prop_oneof![1 => -3..0_i64, 8 => 0..10_i64]
}

/// What the users have when a history begins.
pub fn opening() -> impl Strategy<Value = Vec<Work>> {
    let purse = |user_id: UserId, purse: Purse, most: i64| {
        (0..=most).prop_map(move |amount| {
            let request_id = format!("opening-{purse}");
            (amount > 0).then(|| one(&request_id, of_user(user_id, commands::credit(purse, amount))))
        })
    };
    let user = move |user_id| (purse(user_id, Purse::Points, 20), purse(user_id, Purse::Cash, 10));
    (user(1), user(2), user(3)).prop_map(|(one, two, three)| {
        [one.0, one.1, two.0, two.1, three.0, three.1].into_iter().flatten().collect()
    })
}

/// A work of its own, or the one before it that comes again.
type Sent = (Work, Option<prop::sample::Index>);

/// Now and then, one of the works before comes again as it was.
fn repeating(rounds: Vec<(i64, Vec<Sent>)>) -> Vec<Round> {
    let mut sent: Vec<Work> = Vec::new();
    let mut send = |(fresh, again): Sent| {
        let work = again.filter(|_| !sent.is_empty()).map_or(fresh, |again| again.get(&sent).clone());
        sent.push(work.clone());
        work
    };
    rounds
        .into_iter()
        .map(|(advance, work)| Round { advance, work: work.into_iter().map(&mut send).collect() })
        .collect()
}

fn again() -> impl Strategy<Value = Option<prop::sample::Index>> {
    option::weighted(0.15, any::<prop::sample::Index>())
}

/// A history of single commands and of batches, several of them decided together.
pub fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let round = (advance(), vec((work(), again()), 1..6));
    (opening(), vec(round, 1..12)).prop_map(|(opening, rounds)| {
        let opening = Round { advance: 0, work: opening };
        std::iter::once(opening).chain(repeating(rounds)).collect()
    })
}

/// A history of single commands, each decided alone.
pub fn singles() -> impl Strategy<Value = Vec<Round>> {
    let one = (submitted().prop_map(Work::One), again());
    let round = (advance(), one.prop_map(|one| vec![one]));
    (opening(), vec(round, 1..40)).prop_map(|(opening, rounds)| {
        let opening = opening.into_iter().map(|work| Round { advance: 0, work: vec![work] });
        opening.chain(repeating(rounds)).collect()
    })
}
