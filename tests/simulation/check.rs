//! The checkers: what callers were told against what the tables hold, once all is healed and every unknown resolved.
//!
//! Each delivery of a call has an actor of its own, which its entries and audit lines carry: what a delivery wrote is
//! known to the row, however often its call was repeated.
//!
//! | rule | where |
//! |---|---|
//! | an acknowledged call is in the tables, with the content it was answered with | [`effects`], [`tasks`], [`leases`] |
//! | a call that was refused, or not taken up, wrote nothing; an unknown one wrote all of it or nothing | [`effects`] |
//! | one row a key; a repeat says what the original said; other content is refused | [`repeats`] |
//! | what was acknowledged before another call began comes before it in its user's chain | [`effects`] |
//! | a balance that was read is that of a moment, and of none before what was acknowledged | [`reads`] |

use std::collections::{BTreeMap, BTreeSet};

use scrip::keypool::{Command as Keys, Done};
use scrip::ledger::{Command, Entry, Frozen, HoldState, Money, Operation, Rejection, Text, User, UserId};

use crate::history::{Asked, End, Events, Sent, Told};
use crate::leases;
use crate::support::model::keypool_world::World as PoolWorld;
use crate::support::model::world::World;

/// What the callers and the tables disagree on; empty if on nothing.
pub(crate) fn disagreements(events: &Events, world: &World, pool: &PoolWorld) -> Vec<String> {
    let mut wrong = Vec::new();
    let history = &events.sent;
    reads(&events.read, world, &mut wrong);
    effects(history, world, pool, &mut wrong);
    tasks(history, world, &mut wrong);
    requests(history, world, &mut wrong);
    repeats(history, &mut wrong);
    batches(history, world, &mut wrong);
    leases::as_told(history, pool, &mut wrong);
    leases::superseded(history, pool, &mut wrong);
    wrong
}

/// The entries and audit lines of each delivery.
fn effects(history: &[Sent], world: &World, pool: &PoolWorld, wrong: &mut Vec<String>) {
    let mut wrote: BTreeMap<&Text, Vec<&Entry>> = BTreeMap::new();
    for row in world.entries().values() {
        wrote.entry(&row.entry.actor).or_default().push(&row.entry);
    }
    let audited: BTreeSet<&Text> = pool.audit.iter().map(|line| &line.actor).collect();
    for sent in history {
        let entries = wrote.remove(&sent.actor).unwrap_or_default();
        let has_written = !entries.is_empty() || audited.contains(&sent.actor);
        let mut is_wrong = |what: &str| wrong.push(format!("{what}: {sent}, which wrote {entries:?}"));
        match &sent.end {
            Some((_, End::Refused(_) | End::NotDone(_))) if has_written => {
                is_wrong("not done for its caller, yet done");
            }
            Some((_, End::Refused(_) | End::NotDone(_))) => {}
            Some((_, End::Done(told))) if is_replay(told) => {
                if has_written {
                    is_wrong("a replay for its caller, yet done");
                }
            }
            Some((_, End::Done(Told::Ledger(answer)))) => {
                if !answer.entries.iter().map(|entry| &**entry).eq(entries.iter().copied()) {
                    is_wrong("what it was answered with is not what is stored");
                }
                if entries.first().is_some_and(|first| first.user_seq <= sent.floor) {
                    is_wrong("it comes before what was acknowledged before it began");
                }
                if !is_whole(sent, &entries) {
                    is_wrong("it did not write what it was to write");
                }
            }
            Some((_, End::Done(Told::Keys(answer)))) => {
                let is_created =
                    matches!(&sent.call.asked, Asked::Keys(Keys::Create(_) | Keys::Delete { .. }));
                if is_created && !audited.contains(&sent.actor) {
                    is_wrong("done for its caller, yet nothing remembers it");
                }
                if let Done::Account(described) = &answer.done
                    && !pool.accounts.contains_key(&described.account.account_id)
                {
                    is_wrong("its account is not there");
                }
            }
            None | Some((_, End::Unknown(_))) => {
                if !entries.is_empty() && !is_whole(sent, &entries) {
                    is_wrong("unknown to its caller, and half done or done twice");
                }
            }
        }
    }
    for (actor, entries) in wrote.into_iter().filter(|(actor, _)| ***actor != *"setup") {
        wrong.push(format!("nobody has sent {actor}, which wrote {entries:?}"));
    }
}

pub(crate) fn is_replay(told: &Told) -> bool {
    match told {
        Told::Ledger(answer) => answer.replayed,
        Told::Keys(answer) => match &answer.done {
            Done::Account(described) => described.replayed,
            Done::Released(released) => released.replayed,
            Done::Renewed(_) | Done::Expired(_) | Done::Nothing => false,
        },
    }
}

/// Whether these entries are what the command writes where it is done, once and whole.
fn is_whole(sent: &Sent, entries: &[&Entry]) -> bool {
    let Some(command) = sent.command() else { return entries.is_empty() };
    let sum: i64 = entries.iter().map(|entry| entry.amount).sum();
    let all = |operation: Operation| entries.iter().all(|entry| entry.operation == operation);
    let of_task = |task_id: &Text| entries.iter().all(|entry| entry.order_id == *task_id);
    let purses: BTreeSet<_> = entries.iter().map(|entry| entry.purse).collect();
    let of_user = entries.iter().all(|entry| entry.user_id == sent.call.user);
    let once = purses.len() == entries.len() && of_user;
    once && match command {
        Command::Charge(charge) => {
            sum == -charge.amount && all(Operation::Charge) && of_task(&charge.task_id)
        }
        Command::Capture(capture) => {
            sum == -capture.amount && all(Operation::Capture) && of_task(&capture.task_id)
        }
        Command::Refund(refund) => {
            let is_all = refund.amount.map_or(sum > 0, |amount| sum == amount);
            is_all && all(Operation::Refund) && of_task(&refund.task_id)
        }
        Command::Credit(credit) => sum == credit.amount && all(Operation::Credit),
        Command::Debit(debit) => sum == -debit.amount && all(Operation::Debit),
        Command::CompleteTask(complete) => {
            let captured = complete.capture_amount.unwrap_or(0);
            // One that comes too late to complete its task has nothing to capture.
            (sum == -captured || entries.is_empty()) && all(Operation::Capture) && of_task(&complete.task_id)
        }
        Command::FailTask(fail) => {
            let keeps_to_it = if fail.no_refund { entries.is_empty() } else { sum >= 0 };
            keeps_to_it && all(Operation::Refund) && of_task(&fail.task_id)
        }
        Command::Authorize(_)
        | Command::Void(_)
        | Command::SelectKey(_)
        | Command::StartTask(_)
        | Command::NoteAttempt(_)
        | Command::ExpireHold(_) => entries.is_empty(),
    }
}

/// Each task is what one call asked for, and what was acknowledged of it has happened to it.
fn tasks(history: &[Sent], world: &World, wrong: &mut Vec<String>) {
    let mut created: BTreeMap<&Text, Vec<&Sent>> = BTreeMap::new();
    let mut resolved: BTreeMap<&Text, Vec<&Sent>> = BTreeMap::new();
    for sent in history {
        let Some(command) = sent.command() else { continue };
        match command {
            Command::Charge(_) | Command::Authorize(_) => {
                created.entry(command.task_id().expect("its task")).or_default().push(sent);
            }
            Command::Capture(_) | Command::Void(_) => {
                resolved.entry(command.task_id().expect("its task")).or_default().push(sent);
            }
            Command::CompleteTask(complete) if complete.capture_amount.is_some() => {
                resolved.entry(&complete.task_id).or_default().push(sent);
            }
            _ => {}
        }
    }
    for (task_id, senders) in &created {
        let task = world.tasks().get(*task_id).map(|row| &row.task);
        let says_so = |sent: &&&Sent| {
            let is_hold = matches!(sent.command(), Some(Command::Authorize(_)));
            let same = sent.content.as_ref().map(|(_, _, fingerprint)| fingerprint);
            task.is_some_and(|task| {
                (task.user_id, task.is_hold(), Some(&task.fingerprint)) == (sent.call.user, is_hold, same)
            })
        };
        for sent in senders.iter().filter(|sent| sent.answer().is_some()) {
            if !says_so(&sent) {
                wrong.push(format!("it was acknowledged, and the task is {task:?}: {sent}"));
            }
        }
        let mut may_have = senders.iter().filter(|sent| sent.answer().is_some() || sent.is_unknown());
        if task.is_some() && !may_have.any(|sent| says_so(&sent)) {
            wrong.push(format!("nobody may have created {task:?}"));
        }
        at_most_once(senders, "was created", wrong);
    }
    for task_id in world.tasks().keys().filter(|task_id| !created.contains_key(*task_id)) {
        wrong.push(format!("nobody has asked for {task_id}"));
    }
    failures(history, world, wrong);
    for (task_id, senders) in &resolved {
        at_most_once(senders, "resolved its hold", wrong);
        let state = world.tasks().get(*task_id).and_then(|row| row.task.hold_state);
        for sent in senders.iter().filter(|sent| sent.answer().is_some_and(|answer| !answer.replayed)) {
            let is_void = matches!(sent.command(), Some(Command::Void(_)));
            let to = if is_void { HoldState::Voided } else { HoldState::Captured };
            if state != Some(to) {
                wrong.push(format!("the hold is {state:?}, and acknowledged was {sent}"));
            }
        }
    }
}

/// A task that failed costs its user nothing, unless its caller kept the charge.
fn failures(history: &[Sent], world: &World, wrong: &mut Vec<String>) {
    for sent in history.iter().filter(|sent| sent.answer().is_some()) {
        let Some(Command::FailTask(fail)) = sent.command() else { continue };
        let task = world.tasks().get(&fail.task_id).map(|row| &row.task);
        if !fail.no_refund && task.is_none_or(|task| !task.held.is_zero() || !task.refundable().is_zero()) {
            wrong.push(format!("it failed for its caller, and the task is {task:?}: {sent}"));
        }
    }
}

/// Of several deliveries at most one did it, and the others repeated it.
fn at_most_once(senders: &[&Sent], what: &str, wrong: &mut Vec<String>) {
    let done: Vec<_> =
        senders.iter().filter(|sent| sent.answer().is_some_and(|answer| !answer.replayed)).collect();
    if done.len() > 1 {
        let done: Vec<String> = done.iter().map(|sent| sent.to_string()).collect();
        wrong.push(format!("each of these {what}, said their answers: {done:?}"));
    }
}

/// The idempotency record of each request is what its caller was told; its entries are of one delivery.
fn requests(history: &[Sent], world: &World, wrong: &mut Vec<String>) {
    for sent in history.iter().filter(|sent| !sent.call.request_id.is_empty()) {
        let key = (sent.call.user, Text::from(sent.call.request_id.as_str()));
        let stored = world.requests().get(&key).map(|record| &record.frozen);
        let agrees = match &sent.end {
            Some((_, End::Done(Told::Ledger(answer)))) => {
                let first = answer.entries.first().map(|entry| (entry.user_seq, answer.entries.len()));
                matches!(stored, Some(Frozen::Done { entries, lease_id, .. })
                    if entries.map(|range| (range.first_seq, range.count as usize)) == first
                    && (answer.lease.is_none()
                        || *lease_id == answer.lease.as_ref().map(|lease| lease.lease.lease_id.clone())))
            }
            Some((_, End::Done(Told::Keys(_)))) => {
                sent.content.is_none() || matches!(stored, Some(Frozen::Done { .. }))
            }
            Some((_, End::Refused(refused))) if sent.atomic.is_none() => {
                refused.freeze().is_none_or(|frozen| stored == Some(&Frozen::Refused(frozen)))
            }
            _ => true,
        };
        if !agrees {
            wrong.push(format!("its record is {stored:?}: {sent}"));
        }
    }
    let mut writers: BTreeMap<(UserId, &Text), &Text> = BTreeMap::new();
    for row in world.entries().values() {
        let Some(request_id) = &row.entry.request_id else { continue };
        let writer = writers.entry((row.entry.user_id, request_id)).or_insert(&row.entry.actor);
        if **writer != row.entry.actor {
            wrong.push(format!("{writer} and {} both wrote under {request_id}", row.entry.actor));
        }
    }
}

/// What came after an acknowledged call under the same keys.
fn repeats(history: &[Sent], wrong: &mut Vec<String>) {
    let mut under: BTreeMap<(UserId, &str), Vec<&Sent>> = BTreeMap::new();
    let mut of_task: BTreeMap<&Text, Vec<&Sent>> = BTreeMap::new();
    for sent in history {
        if !sent.call.request_id.is_empty() && sent.content.is_some() {
            under.entry((sent.call.user, &sent.call.request_id)).or_default().push(sent);
        } else if let Some(command @ (Command::Charge(_) | Command::Authorize(_))) = sent.command() {
            of_task.entry(command.task_id().expect("its task")).or_default().push(sent);
        }
    }
    for group in under.values() {
        repeats_of(group, is_reused, wrong);
    }
    for group in of_task.values() {
        repeats_of(group, is_charged_otherwise, wrong);
    }
}

const fn is_reused(refused: &Rejection) -> bool {
    matches!(refused, Rejection::RequestIdReused { .. })
}

const fn is_charged_otherwise(refused: &Rejection) -> bool {
    matches!(refused, Rejection::TaskAlreadyCharged { .. })
}

/// The first that was acknowledged, as done or as refused for good, settles what all later ones are answered.
fn repeats_of(group: &[&Sent], is_refusal_of_others: fn(&Rejection) -> bool, wrong: &mut Vec<String>) {
    let settles = |sent: &&&Sent| match &sent.end {
        Some((_, End::Done(_))) => true,
        Some((_, End::Refused(refused))) => {
            !sent.call.request_id.is_empty() && sent.atomic.is_none() && refused.freeze().is_some()
        }
        _ => false,
    };
    let acknowledged = |sent: &&&Sent| sent.end.as_ref().map(|(at, _)| *at);
    let Some(first) = group.iter().filter(settles).min_by_key(acknowledged) else { return };
    let Some((settled, original)) = &first.end else { return };
    for later in group.iter().filter(|sent| sent.begun > *settled) {
        let Some((_, end)) = &later.end else { continue };
        let is_same = later.content == first.content;
        let agrees = match (original, end) {
            (_, End::NotDone(_) | End::Unknown(_)) => true,
            // Another item of its batch was refused.
            (_, End::Refused(Rejection::BatchAborted { .. })) => true,
            (_, End::Refused(refused)) if !is_same => is_refusal_of_others(refused),
            (End::Refused(before), End::Refused(now)) => before == now,
            (End::Done(Told::Ledger(before)), End::Done(Told::Ledger(now))) => {
                is_same && now.replayed && before.entries == now.entries
            }
            (End::Done(Told::Keys(_)), End::Done(now @ Told::Keys(_))) => is_same && is_replay(now),
            // An account that is gone is not told of again.
            (End::Done(Told::Keys(_)), End::Refused(Rejection::AccountNotFound(_))) => true,
            _ => false,
        };
        if !agrees {
            wrong.push(format!("{first} was repeated as {later}"));
        }
    }
}

/// An atomic batch whose end nobody heard happened whole or not at all.
fn batches(history: &[Sent], world: &World, wrong: &mut Vec<String>) {
    let mut batches: BTreeMap<usize, Vec<&Sent>> = BTreeMap::new();
    for sent in history.iter().filter(|sent| sent.is_unknown()) {
        if let Some(batch) = sent.atomic {
            batches.entry(batch).or_default().push(sent);
        }
    }
    let writers: BTreeSet<&Text> = world.entries().values().map(|row| &row.entry.actor).collect();
    for items in batches.values().filter(|items| items.iter().any(|sent| writers.contains(&sent.actor))) {
        for sent in items {
            let task =
                sent.command().and_then(Command::task_id).and_then(|task_id| world.tasks().get(task_id));
            let same = task.map(|row| &row.task.fingerprint);
            if same.is_none() || same != sent.content.as_ref().map(|(_, _, fingerprint)| fingerprint) {
                wrong.push(format!("a part of its atomic batch was done without it: {sent}"));
            }
        }
    }
}

/// Figures that were read are those after an entry, and that is none before one that somebody knew of.
fn reads(read: &[(i64, User)], world: &World, wrong: &mut Vec<String>) {
    for (floor, user) in read {
        let entries = world.entries().range((user.user_id, 0)..=(user.user_id, user.entry_seq));
        let balance = entries.fold(Money::ZERO, |sum, (_, row)| {
            let moved = Money::of(row.entry.purse, row.entry.amount);
            Money { points: sum.points + moved.points, cash: sum.cash + moved.cash }
        });
        if user.balance != balance || user.entry_seq < *floor {
            wrong.push(format!(
                "entry {floor} had been told of, the entries sum to {balance:?}, and {user:?} was read"
            ));
        }
    }
}
