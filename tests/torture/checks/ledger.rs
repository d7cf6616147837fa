//! The tables by themselves: chains, purses, tasks and their entries.

use std::collections::HashMap;

use super::Findings;
use crate::books::{Books, Both, Row, Task, User};
use crate::call::Purse;

pub(crate) fn check(books: &Books, found: &mut Findings) {
    chains(books, found);
    points(books, found);
    tasks(books, found);
    holds(books, found);
}

/// Each user's entries: 1, 2, 3 … without a gap, each purse going on where it was, to what the user's row says.
fn chains(books: &Books, found: &mut Findings) {
    let mut at = 0;
    for user in &books.users {
        while books.ledger.get(at).is_some_and(|row| row.entry.user < user.id) {
            let row = &books.ledger[at];
            found.add("chain", || format!("an entry of nobody: {row:?}"));
            at += 1;
        }
        let from = at;
        while books.ledger.get(at).is_some_and(|row| row.entry.user == user.id) {
            at += 1;
        }
        chain(user, &books.ledger[from..at], found);
    }
    for row in &books.ledger[at..] {
        found.add("chain", || format!("an entry of nobody: {row:?}"));
    }
}

fn chain(user: &User, rows: &[Row], found: &mut Findings) {
    let mut purses: Both = (0, 0);
    let mut last = 0;
    for (row, seq) in rows.iter().zip(1..) {
        let entry = &row.entry;
        if entry.seq != seq {
            found.add("chain", || format!("user {}: entry {} where {seq} was due", user.id, entry.seq));
            return;
        }
        let purse = match entry.purse {
            Purse::Points => &mut purses.0,
            Purse::Cash => &mut purses.1,
        };
        if entry.before != *purse || entry.after != entry.before + entry.amount {
            found.add("chain", || format!("user {}: the purse had {purse}, then {entry:?}", user.id));
        }
        *purse = entry.after;
        if entry.after < 0 {
            found.add("purse", || format!("user {}: below zero with {entry:?}", user.id));
        }
        if entry.at < last {
            found.add("chain", || format!("user {}: before its previous entry {entry:?}", user.id));
        }
        last = entry.at;
        if !is_of_its_kind(row) {
            found.add("entry", || format!("not as an entry of its operation is: {row:?}"));
        }
    }
    if purses != (user.points, user.cash) {
        found.add("purse", || format!("the entries come to {purses:?}, the row says {user:?}"));
    }
    let newest = rows.last();
    if user.seq != rows.len() as i64 || newest.is_some_and(|row| row.hash != user.head) {
        found.add("chain", || format!("the chain ends in {newest:?}, the row says {user:?}"));
    }
}

fn is_of_its_kind(row: &Row) -> bool {
    let entry = &row.entry;
    match entry.operation.as_str() {
        "charge" | "capture" => (entry.amount < 0, row.kind, entry.source.as_str()) == (true, 1, "consume"),
        "refund" => (entry.amount > 0, row.kind, entry.source.as_str()) == (true, 0, "refund"),
        "credit" => entry.amount > 0,
        "debit" => (entry.amount < 0, row.kind, entry.source.as_str()) == (true, 1, "system"),
        _ => false,
    }
}

/// Each movement of points has one twin that says the same.
fn points(books: &Books, found: &mut Findings) {
    let mut twins = books.points.iter().peekable();
    for row in books.ledger.iter().filter(|row| row.entry.purse == Purse::Points) {
        let entry = &row.entry;
        let key = (entry.user, entry.seq);
        while let Some(twin) = twins.next_if(|twin| (twin.user, twin.seq) < key) {
            found.add("points_detail", || format!("of no entry: {twin:?}"));
        }
        let twin = twins.next_if(|twin| (twin.user, twin.seq) == key);
        let is_same = twin.is_some_and(|twin| {
            (twin.points, twin.before, twin.after, &twin.order, &twin.source, twin.at)
                == (entry.amount, entry.before, entry.after, &entry.order, &entry.source, entry.at)
        });
        if !is_same {
            found.add("points_detail", || format!("{entry:?} has {twin:?}"));
        }
    }
    for twin in twins {
        found.add("points_detail", || format!("of no entry: {twin:?}"));
    }
}

/// What the entries of a task come to: charge, capture and refund, by purse.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    charged: Both,
    captured: Both,
    refunded: Both,
}

fn add(both: &mut Both, purse: Purse, amount: i64) {
    match purse {
        Purse::Points => both.0 += amount,
        Purse::Cash => both.1 += amount,
    }
}

/// Each task says of its money what its entries say.
fn tasks(books: &Books, found: &mut Findings) {
    let mut sums: HashMap<(i64, &str), Sums> = HashMap::new();
    for row in &books.ledger {
        let entry = &row.entry;
        if !matches!(entry.operation.as_str(), "charge" | "capture" | "refund") {
            continue;
        }
        let sums = sums.entry((entry.user, &entry.order)).or_default();
        match entry.operation.as_str() {
            "charge" => add(&mut sums.charged, entry.purse, -entry.amount),
            "capture" => add(&mut sums.captured, entry.purse, -entry.amount),
            _ => add(&mut sums.refunded, entry.purse, entry.amount),
        }
    }
    for task in &books.tasks {
        let sums = sums.remove(&(task.user, task.task.as_str())).unwrap_or_default();
        if sums.refunded.0 > sums.charged.0 + sums.captured.0
            || sums.refunded.1 > sums.charged.1 + sums.captured.1
        {
            found.add("refunds", || format!("more than the charge: {sums:?} of {task:?}"));
        }
        let (taken, of_the_other) =
            if task.hold.is_empty() { (sums.charged, sums.captured) } else { (sums.captured, sums.charged) };
        let agrees = task.charged == taken
            && of_the_other == (0, 0)
            && task.refunded == sums.refunded
            && task.money == taken.0 + taken.1;
        if !agrees {
            found.add("task", || format!("its entries come to {sums:?}: {task:?}"));
        }
        hold(task, found);
    }
    for ((user, task), sums) in sums {
        found.add("task", || format!("entries of user {user} for task {task}, which is not there: {sums:?}"));
    }
}

fn hold(task: &Task, found: &mut Findings) {
    let agrees = match task.hold.as_str() {
        "" => task.authorized == (0, 0) && task.held == (0, 0),
        "open" => task.held == task.authorized && task.money == 0,
        "captured" => {
            task.held == (0, 0)
                && task.money > 0
                && task.charged.0 <= task.authorized.0
                && task.charged.1 <= task.authorized.1
        }
        "voided" | "expired" => task.held == (0, 0) && task.money == 0,
        _ => false,
    };
    if !agrees {
        found.add("hold", || format!("{task:?}"));
    }
}

/// What is held of each user is the sum of the open holds.
fn holds(books: &Books, found: &mut Findings) {
    let mut held: HashMap<i64, Both> = HashMap::new();
    for task in &books.tasks {
        let sum = held.entry(task.user).or_default();
        sum.0 += task.held.0;
        sum.1 += task.held.1;
    }
    for user in &books.users {
        let sum = held.remove(&user.id).unwrap_or_default();
        if sum != (user.points_held, user.cash_held) {
            found.add("hold", || format!("the open holds come to {sum:?}, the row says {user:?}"));
        }
        if user.points_held > user.points || user.cash_held > user.cash {
            found.add("hold", || format!("more is held than there is: {user:?}"));
        }
    }
    for (user, sum) in held {
        if sum != (0, 0) {
            found.add("hold", || format!("{sum:?} held of user {user}, which is not there"));
        }
    }
}
