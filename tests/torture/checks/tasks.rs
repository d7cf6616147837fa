//! A task is created once, with the content that was acknowledged; its hold resolves once; it ends as it was told.

use std::collections::{HashMap, HashSet};

use super::Findings;
use super::delivery::{Asked, Delivery};
use crate::answer::FROZEN;
use crate::books::{Books, Task};
use crate::call::{Call, input_of};

pub(crate) fn check(deliveries: &[Delivery<'_>], books: &Books, is_resolved: bool, found: &mut Findings) {
    let mut groups: HashMap<&str, Vec<&Delivery<'_>>> = HashMap::new();
    for delivery in deliveries.iter().filter(|delivery| delivery.is_write()) {
        if let Some(task) = delivery.task() {
            groups.entry(task).or_default().push(delivery);
        }
    }
    let stored: HashMap<&str, &Task> = books.tasks.iter().map(|task| (task.task.as_str(), task)).collect();
    if stored.len() != books.tasks.len() {
        found.add("once", || "a task is stored twice".to_owned());
    }
    for (task, group) in &groups {
        let creators: Vec<&Delivery<'_>> =
            group.iter().copied().filter(|delivery| delivery.creates().is_some()).collect();
        creation(&creators, stored.get(task).copied(), is_resolved, found);
        repeats(&creators, found);
        resolution(group, stored.get(task).copied(), is_resolved, found);
        end(group, stored.get(task).copied(), is_resolved, found);
    }
    attempts(deliveries, books, found);
    for task in books.tasks.iter().filter(|task| !groups.contains_key(task.task.as_str())) {
        found.add("unexplained", || format!("nobody has asked for {task:?}"));
    }
}

/// The attempts of a task are 1, 2, 3 …; one that was acknowledged is among them.
fn attempts(deliveries: &[Delivery<'_>], books: &Books, found: &mut Findings) {
    let mut kept: HashSet<(&str, &str)> = HashSet::new();
    let mut before: Option<(&str, i64)> = None;
    for row in &books.attempts {
        let due = before.filter(|(task, _)| *task == row.task).map_or(1, |(_, attempt)| attempt + 1);
        if row.attempt != due {
            found.add("attempt", || format!("{due} was due: {row:?}"));
        }
        before = Some((&row.task, row.attempt));
        kept.insert((&row.task, &row.online));
    }
    for delivery in deliveries.iter().filter(|delivery| delivery.told().is_some()) {
        if let Asked::Call(Call::Start { task, online, .. }) = delivery.asked
            && !kept.contains(&(task.as_str(), online.as_str()))
        {
            found.add("attempt", || format!("acknowledged, and not kept: {delivery}"));
        }
    }
}

/// The stored task is what one call asked for; acknowledged: it is there; refused: it is not.
fn creation(creators: &[&Delivery<'_>], stored: Option<&Task>, is_resolved: bool, found: &mut Findings) {
    let mut may_have = false;
    for delivery in creators {
        let says_so = stored.is_some_and(|task| is_as_asked(task, delivery));
        if delivery.told().is_some() && !says_so {
            found.add("acknowledged", || format!("the task is {stored:?}: {delivery}"));
        }
        let counts = delivery.told().is_some() || (!is_resolved && delivery.is_unknown());
        may_have |= counts && says_so;
    }
    if let Some(task) = stored
        && !may_have
    {
        let last = creators.last().map(ToString::to_string);
        found.add("refused", || format!("nobody was told of {task:?}, last {last:?}"));
    }
    let did: Vec<_> = creators.iter().filter(|delivery| delivery.did()).collect();
    if did.len() > 1 {
        found.add("once", || format!("created twice: {} and {}", did[0], did[1]));
    }
    let replayed = creators.iter().find(|delivery| delivery.told().is_some_and(|told| told.replayed));
    if let Some(repeat) = replayed {
        let is_other = |other: &&&Delivery<'_>| {
            let had_begun = other.begun < repeat.ended && other.op != repeat.op;
            had_begun && (other.did() || other.is_unknown())
        };
        if !creators.iter().any(|other| is_other(&other)) {
            found.add("replay", || format!("a repeat of what nobody did: {repeat}"));
        }
    }
}

fn is_as_asked(task: &Task, delivery: &Delivery<'_>) -> bool {
    let Some((charge, ttl)) = delivery.creates() else { return false };
    let is_hold = !task.hold.is_empty();
    let amount = if is_hold { task.authorized.0 + task.authorized.1 } else { task.money };
    (task.user, amount, task.app.as_str(), is_hold)
        == (charge.user, charge.amount, charge.app.as_str(), ttl.is_some())
        && task.input == input_of(&charge.task)
}

/// After the first that was acknowledged, the same content is a repeat and other content is refused.
fn repeats(creators: &[&Delivery<'_>], found: &mut Findings) {
    let told = creators.iter().filter(|delivery| delivery.told().is_some());
    let Some(first) = told.min_by_key(|delivery| delivery.ended) else { return };
    let entries = first.told().map(|told| &told.entries);
    for other in creators.iter().filter(|other| other.op != first.op) {
        let is_same = other.content() == first.content();
        if let Some(told) = other.told() {
            if !is_same || Some(&told.entries) != entries {
                found.add("replay", || format!("not as it was first answered: {other}; the first: {first}"));
            }
            continue;
        }
        let Some(refused) = other.refused().filter(|_| other.begun > first.ended) else { continue };
        let reason = refused.reason.as_str();
        let has_request = !other.request().is_empty();
        let may_be = reason == "BATCH_ABORTED"
            || (has_request && (reason == "REQUEST_ID_REUSED" || FROZEN.contains(&reason)))
            || (!is_same && matches!(reason, "TASK_ALREADY_CHARGED" | "INVALID_FIELD"));
        if !may_be {
            found.add("replay", || format!("the task was there: {other}; the first: {first}"));
        }
    }
}

/// What captures, and how much.
fn captures(delivery: &Delivery<'_>) -> Option<i64> {
    match delivery.asked {
        Asked::Call(Call::Capture { amount, .. }) => Some(*amount),
        Asked::Call(Call::Complete { capture, .. }) => *capture,
        _ => None,
    }
}

fn voids(delivery: &Delivery<'_>) -> bool {
    matches!(delivery.asked, Asked::Call(Call::Void { .. }))
}

/// A hold is captured, voided or expired: one of these, once, as it was told.
fn resolution(group: &[&Delivery<'_>], stored: Option<&Task>, is_resolved: bool, found: &mut Findings) {
    let mut resolvers = Vec::new();
    let mut is_captured_by_told = false;
    for delivery in group {
        let Some(told) = delivery.told().filter(|told| !told.late) else { continue };
        let to = match captures(delivery) {
            Some(amount) => {
                is_captured_by_told = true;
                if stored.is_none_or(|task| task.money != amount) {
                    found.add("hold", || format!("captured, and the task is {stored:?}: {delivery}"));
                }
                "captured"
            }
            None if voids(delivery) => "voided",
            None => continue,
        };
        if !told.replayed {
            resolvers.push(delivery);
        }
        if stored.is_none_or(|task| task.hold != to) {
            found.add("hold", || format!("{to} for its caller, and the task is {stored:?}: {delivery}"));
        }
    }
    if resolvers.len() > 1 {
        found.add("hold", || format!("resolved twice: {} and {}", resolvers[0], resolvers[1]));
    }
    if is_resolved && stored.is_some_and(|task| task.hold == "captured") && !is_captured_by_told {
        found.add("unexplained", || format!("nobody was told of the capture of {stored:?}"));
    }
}

/// The status and money of a task are what its reports say.
fn end(group: &[&Delivery<'_>], stored: Option<&Task>, is_resolved: bool, found: &mut Findings) {
    let (mut is_completed, mut is_failed) = (false, false);
    let mut did = Vec::new();
    for delivery in group {
        let (Some(told), Asked::Call(call)) = (delivery.told(), delivery.asked) else { continue };
        let agrees = match call {
            Call::Complete { .. } if told.late => {
                stored.is_some_and(|task| matches!(task.status.as_str(), "failed" | "canceled"))
            }
            Call::Complete { cost, .. } => {
                is_completed = true;
                stored.is_some_and(|task| task.status == "completed" && task.cost == *cost)
            }
            Call::Fail { keep_charge, error, .. } => {
                is_failed = true;
                stored.is_some_and(|task| {
                    let is_given_back = *keep_charge || task.refunded == task.charged;
                    let is_as_told = task.status == "failed" && task.error == *error;
                    is_as_told && task.held == (0, 0) && is_given_back
                })
            }
            _ => continue,
        };
        if !agrees {
            found.add("settled", || format!("the task is {stored:?}: {delivery}"));
        }
        if !told.replayed && !told.late {
            did.push(delivery);
        }
    }
    if did.len() > 1 {
        found.add("settled", || format!("ended twice: {} and {}", did[0], did[1]));
    }
    let Some(task) = stored.filter(|_| is_resolved) else { return };
    let is_told = match task.status.as_str() {
        "completed" => is_completed,
        "failed" => is_failed,
        "canceled" => matches!(task.hold.as_str(), "voided" | "expired"),
        _ => true,
    };
    if !is_told {
        found.add("unexplained", || format!("nobody was told of the end of {task:?}"));
    }
}
