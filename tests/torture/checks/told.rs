//! Acknowledged ⊆ ledger, with identical content; and nothing in the ledger that nobody was told of.

use std::collections::HashMap;

use super::Findings;
use super::delivery::{Asked, Delivery};
use crate::answer::{Entry, Told};
use crate::books::{Books, Row};
use crate::call::Call;

pub(crate) fn check(deliveries: &[Delivery<'_>], books: &Books, is_resolved: bool, found: &mut Findings) {
    let ledger: HashMap<(i64, i64), &Row> =
        books.ledger.iter().map(|row| ((row.entry.user, row.entry.seq), row)).collect();
    let mut was_told = vec![false; books.ledger.len()];
    let place: HashMap<(i64, i64), usize> =
        books.ledger.iter().enumerate().map(|(at, row)| ((row.entry.user, row.entry.seq), at)).collect();
    for delivery in deliveries {
        let Some(told) = delivery.told() else { continue };
        for entry in &told.entries {
            let row = ledger.get(&(entry.user, entry.seq));
            if row.is_none_or(|row| row.entry != *entry) {
                found.add("acknowledged", || format!("told {entry:?}, stored {row:?}: {delivery}"));
            }
            if delivery.is_write()
                && let Some(at) = place.get(&(entry.user, entry.seq))
            {
                was_told[*at] = true;
            }
        }
        if let Some(wrong) = not_what_was_asked(delivery, told) {
            found.add("answer", || format!("{wrong}: {delivery}"));
        }
    }
    if is_resolved {
        for (row, _) in books.ledger.iter().zip(was_told).filter(|(_, was_told)| !was_told) {
            found.add("unexplained", || format!("nobody was told of {row:?}"));
        }
    }
}

/// Whether an answer is one to what was asked, and not a neighbour's or half of one.
fn not_what_was_asked(delivery: &Delivery<'_>, told: &Told) -> Option<&'static str> {
    if let (Some(asked), Some(task)) = (delivery.task(), &told.task)
        && (task.task != asked || delivery.user.is_some_and(|user| user != task.user))
    {
        return Some("another task than was asked for");
    }
    if let (Some(user), Some(balance)) = (delivery.user, told.balance)
        && balance.user != user
    {
        return Some("another user's balance");
    }
    if let Some((charge, ttl)) = delivery.creates() {
        if told.task.as_ref().is_some_and(|task| task.app != charge.app) {
            return Some("the task is of another model");
        }
        // A repeat is not shown the lease of a runner that took the task over meanwhile.
        if charge.runner.is_some() && told.lease.is_none() && !told.replayed {
            return Some("a key was asked for, and none was given");
        }
        return match ttl {
            Some(_) => moved(told, "authorize", None, Some(0)),
            None => moved(told, "charge", Some(&charge.task), Some(-charge.amount)),
        };
    }
    let Asked::Call(call) = delivery.asked else { return None };
    match call {
        Call::Capture { task, amount, .. } => moved(told, "capture", Some(task), Some(-amount)),
        Call::Void { .. } | Call::Start { .. } => moved(told, "none", None, Some(0)),
        // A refund in full that had been made in parts before is answered with the last of them.
        Call::Refund { task, amount, .. } => {
            moved(told, "refund", Some(task), amount.filter(|_| !told.replayed))
        }
        Call::Credit { amount, order, .. } => moved(told, "credit", Some(order), Some(*amount)),
        Call::Debit { amount, order, .. } => moved(told, "debit", Some(order), Some(-amount)),
        Call::Complete { settle, capture, .. } => moved(
            told,
            "capture",
            Some(&settle.task),
            Some(if told.late { 0 } else { -capture.unwrap_or(0) }),
        ),
        Call::Fail { settle, keep_charge, .. } => {
            moved(told, "refund", Some(&settle.task), keep_charge.then_some(0))
        }
        Call::Select { task, runner, .. } => {
            let is_its = |lease: &crate::answer::LeaseTold| lease.task == *task && lease.runner == *runner;
            (!told.lease.as_ref().is_some_and(is_its)).then_some("the lease is another's")
        }
        Call::Renew { lease: asked, .. } | Call::Release { lease: asked, .. } => {
            let is_its = told.lease.as_ref().is_some_and(|lease| lease.lease == *asked);
            (!is_its).then_some("another lease than was asked for")
        }
        _ => None,
    }
}

/// Whether these are the entries that one such operation writes: one for each purse, of this order, to this sum.
fn moved(told: &Told, operation: &str, order: Option<&str>, sum: Option<i64>) -> Option<&'static str> {
    let entries = &told.entries;
    let of_operation =
        |entry: &Entry| entry.operation == operation && order.is_none_or(|order| entry.order == order);
    if !entries.iter().all(of_operation) {
        return Some("entries of another operation");
    }
    if entries.len() > 2 || (entries.len() == 2 && entries[0].purse == entries[1].purse) {
        return Some("more than one entry for a purse");
    }
    let total: i64 = entries.iter().map(|entry| entry.amount).sum();
    sum.is_some_and(|sum| sum != total).then_some("the entries do not come to the amount")
}
