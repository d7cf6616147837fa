//! Violations, one at a time, and the rule that must flag each.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::answer::{Outcome, Told};
use crate::books::{Lease, Request, Task};
use crate::call::{Call, Purse};
use crate::case::{Case, USER, charge_of, refused, unknown};
use crate::checks::{Findings, leases};
use crate::whole;

type Plant = (&'static str, &'static str, fn(&mut Case));

/// The place of the first delivery that this is true of.
fn op(case: &Case, is_it: impl Fn(&Call) -> bool) -> usize {
    case.history.iter().position(|op| is_it(&op.call)).unwrap()
}

fn charge_op(case: &Case, task: &str) -> usize {
    op(case, |call| matches!(call, Call::Charge(charge) if charge.task == task))
}

fn told(case: &mut Case, at: usize) -> &mut Told {
    match &mut case.history[at].end {
        Some((_, Outcome::Ok(told))) => told,
        other => panic!("{other:?}"),
    }
}

fn outcome(case: &mut Case, at: usize, outcome: Outcome) {
    case.history[at].end.as_mut().unwrap().1 = outcome;
}

const PLANTS: &[Plant] = &[
    ("chain", "an entry is missing", |case| drop(case.books.ledger.remove(2))),
    ("chain", "a purse goes on from elsewhere", |case| {
        case.books.ledger[3].entry.before += 1;
        case.books.ledger[3].entry.after += 1;
    }),
    ("chain", "the head is another", |case| case.books.users[0].head = "other".into()),
    ("chain", "an entry is earlier than the one before", |case| case.books.ledger[3].entry.at = 1),
    ("chain", "an entry of nobody", |case| case.books.ledger.last_mut().unwrap().entry.user = 99),
    ("purse", "the row does not say what the entries come to", |case| case.books.users[0].points += 1),
    ("purse", "a purse is below zero", |case| case.books.ledger[0].entry.after = -1),
    ("entry", "a charge that gives", |case| {
        let row = case.books.ledger.iter_mut().find(|row| row.entry.operation == "charge").unwrap();
        row.entry.amount = 30;
    }),
    ("points_detail", "a twin is missing", |case| drop(case.books.points.remove(1))),
    ("points_detail", "a twin says something else", |case| case.books.points[1].points += 1),
    ("points_detail", "a twin of no entry", |case| {
        let mut twin = case.books.points[0].clone();
        twin.seq = 900;
        case.books.points.push(twin);
    }),
    ("refunds", "more was refunded than was charged", |case| {
        let told = case.refund("", "t2", &[(Purse::Cash, 1)]);
        let call = Call::Refund { request: String::new(), user: USER, task: "t2".into(), amount: None };
        case.send(call, Outcome::Ok(Box::new(told)));
        case.finish();
    }),
    ("task", "a task was charged more than its entries say", |case| case.task("t1").money += 1),
    ("task", "the entries of a task that is not there", |case| case.books.tasks.retain(|t| t.task != "t1")),
    ("hold", "a resolved hold still holds", |case| case.task("h1").held = (40, 0)),
    ("hold", "what is held is not the sum of the holds", |case| case.books.users[0].points_held += 1),
    ("hold", "a hold is voided, and was told as captured", |case| {
        let task = case.task("h1");
        (task.hold, task.money, task.charged) = ("voided".into(), 0, (0, 0));
    }),
    ("hold", "a hold is captured and voided, each for its caller", |case| {
        let void =
            Call::Void { request: String::new(), user: USER, task: "h1".into(), reason: String::new() };
        let told = case.told();
        case.send(void, Outcome::Ok(Box::new(told)));
    }),
    ("hold", "it was captured for another amount than was told", |case| {
        let at = op(case, |call| matches!(call, Call::Complete { capture: Some(8), .. }));
        told(case, at).entries[0].amount = -7;
        case.task("h4").money = 7;
    }),
    ("acknowledged", "an acknowledged charge is lost", |case| {
        case.books.ledger.retain(|row| row.entry.order != "t1");
        case.books.tasks.retain(|task| task.task != "t1");
    }),
    ("acknowledged", "the entry is stored with another amount", |case| {
        case.books.ledger[0].entry.amount += 1;
    }),
    ("acknowledged", "the task is stored with another model", |case| case.task("t1").app = "other".into()),
    ("acknowledged", "the task is stored with another input", |case| case.task("t1").input.clear()),
    ("acknowledged", "a lease that was told is not there", |case| case.books.leases.clear()),
    ("answer", "a batch answers an item with its neighbour's result", |case| {
        let at = op(case, |call| matches!(call, Call::Batch { items, .. } if items[0].task == "t5"));
        let Some((_, Outcome::Each(each))) = &mut case.history[at].end else { panic!() };
        each.swap(0, 1);
    }),
    ("answer", "a charge is answered with half of its entries", |case| {
        let at = charge_op(case, "t2");
        told(case, at).entries.pop();
    }),
    ("answer", "the balance of another user", |case| {
        let at = charge_op(case, "t1");
        told(case, at).balance.as_mut().unwrap().user = 8;
    }),
    ("answer", "a key was asked for, and none was given", |case| {
        let at = charge_op(case, "t3");
        let Call::Charge(charge) = &*case.history[at].call else { panic!() };
        let charge = crate::call::Charge { runner: Some("r".into()), ..charge.clone() };
        case.history[at].call = Arc::new(Call::Charge(charge));
    }),
    ("unexplained", "an entry that nobody was told of", |case| {
        case.movement(&[(Purse::Points, -1)], "debit", "out", "");
        case.finish();
    }),
    ("unexplained", "a charge whose retry ran under another id: its entries are there twice", |case| {
        case.movement(&[(Purse::Points, -30)], "charge", "t1", "");
        case.finish();
    }),
    ("unexplained", "a task that nobody asked for", |case| {
        let task = Task { task: "t-nobody".into(), user: USER, status: "pending".into(), ..Task::default() };
        case.books.tasks.push(task);
        case.finish();
    }),
    ("unexplained", "a record of a request that nobody sent", |case| {
        case.request("nobody", "credit", None, "");
    }),
    ("unexplained", "a task ended, and nobody was told", |case| case.task("t2").status = "completed".into()),
    ("unexplained", "a hold was captured, and nobody was told", |case| {
        let at = op(case, |call| matches!(call, Call::Capture { amount: 35, .. }));
        outcome(case, at, refused("TASK_NOT_FOUND"));
    }),
    ("once", "a request was done twice", |case| {
        let at = op(case, |call| matches!(call, Call::Credit { amount: 1_000, .. }));
        told(case, at + 1).replayed = false;
    }),
    ("once", "a task was created twice", |case| {
        let at = charge_op(case, "t1");
        told(case, at + 1).replayed = false;
    }),
    ("replay", "a repeat is answered with other entries", |case| {
        let at = op(case, |call| matches!(call, Call::Credit { amount: 1_000, .. }));
        told(case, at + 1).entries.clear();
    }),
    ("replay", "a repeat of a charge is answered with other entries", |case| {
        let at = charge_op(case, "t1");
        told(case, at + 1).entries.clear();
    }),
    ("replay", "what was never done is told as done before", |case| {
        let at = op(case, |call| matches!(call, Call::Debit { amount: 50, .. }));
        told(case, at).balance = None;
        case.history.remove(at);
        let user = USER;
        let call = Call::Debit { request: "debit-1".into(), user, amount: 50, order: "out".into() };
        let entries = vec![case.books.ledger[2].entry.clone()];
        case.send(call, Outcome::Ok(Box::new(Told { entries, replayed: true, ..Told::default() })));
    }),
    ("replay", "a charge that its caller did is told as a repeat", |case| {
        let at = charge_op(case, "t3");
        told(case, at).replayed = true;
    }),
    ("replay", "other content under a request_id is done", |case| {
        let at = op(case, |call| matches!(call, Call::Credit { amount: 999, .. }));
        let entries = vec![case.books.ledger[0].entry.clone()];
        outcome(case, at, Outcome::Ok(Box::new(Told { entries, replayed: true, ..Told::default() })));
    }),
    ("replay", "other content of a task is told as a repeat", |case| {
        let at = op(case, |call| matches!(call, Call::Charge(charge) if charge.amount == 31));
        outcome(case, at, Outcome::Ok(Box::new(Told { replayed: true, ..Told::default() })));
    }),
    ("replay", "a frozen refusal is another the second time", |case| {
        let at = op(case, |call| matches!(call, Call::Debit { amount: 9_999, .. }));
        outcome(case, at + 1, refused("USER_NOT_FOUND"));
    }),
    ("replay", "a task that is there cannot be afforded the second time", |case| {
        let at = charge_op(case, "t1");
        outcome(case, at + 1, refused("INSUFFICIENT_BALANCE"));
    }),
    ("replay", "another lease than at first", |case| {
        let at = op(case, |call| matches!(call, Call::Select { runner, .. } if runner == "one"));
        let call = Arc::clone(&case.history[at].call);
        let lease = crate::case::lease_told(&case.books.leases[1]);
        case.send(Call::clone(&call), Outcome::Ok(Box::new(Told { lease: Some(lease), ..Told::default() })));
    }),
    ("record", "the record of a success is missing", |case| {
        case.books.requests.retain(|record| record.request != "r1");
    }),
    ("record", "a record names other entries", |case| {
        case.books.requests.iter_mut().find(|record| record.request == "r1").unwrap().first += 1;
    }),
    ("record", "a frozen refusal is not kept", |case| {
        case.books.requests.retain(|record| record.request != "debit-2");
    }),
    ("refused", "a refused request is done", |case| {
        case.books.requests.iter_mut().find(|record| record.request == "debit-2").unwrap().refusal.clear();
    }),
    ("refused", "a refused charge has its task", |case| {
        let told = case.charge("", "t-never", &[]);
        drop(told);
        case.task("t-never").money = 0;
        case.finish();
    }),
    ("refused", "an item of an aborted batch is there", |case| {
        case.charge("b2", "t7", &[(Purse::Points, -3)]);
        case.finish();
    }),
    ("key", "two records of one request", |case| {
        let record: Request = case.books.requests[0].clone();
        case.books.requests.insert(0, record);
    }),
    ("settled", "a task failed for its caller, and is completed", |case| {
        case.task("t3").status = "completed".into();
    }),
    ("settled", "a task failed, and costs its user", |case| case.task("t3").refunded = (0, 0)),
    ("settled", "too late for its caller, and the task is completed", |case| {
        let at = op(case, |call| matches!(call, Call::Complete { settle, .. } if settle.task == "t1"));
        told(case, at).late = true;
    }),
    ("settled", "a task ended twice", |case| {
        let at = op(case, |call| matches!(call, Call::Complete { settle, .. } if settle.task == "t1"));
        let again = case.history[at].clone();
        let Some((_, ended)) = again.end else { panic!() };
        case.send(Call::clone(&again.call), ended);
    }),
    ("settled", "the cost that was reported is another", |case| case.task("t1").cost = 6),
    ("settled", "the error that was reported is another", |case| case.task("t3").error = "f".into()),
    ("attempt", "an attempt is left out", |case| case.books.attempts[1].attempt = 3),
    ("attempt", "an acknowledged attempt is not kept", |case| drop(case.books.attempts.pop())),
    ("order", "a later call comes before an acknowledged one", |case| {
        let (first, second) = (charge_op(case, "t1"), charge_op(case, "t2"));
        let (a, b) = (case.history[first].end.clone(), case.history[second].end.clone());
        let (calls, call) = (Arc::clone(&case.history[first].call), Arc::clone(&case.history[second].call));
        (case.history[first].end, case.history[second].end) = (b, a);
        (case.history[first].call, case.history[second].call) = (call, calls);
        case.history.iter_mut().for_each(|op| {
            if let Some((at, _)) = &mut op.end {
                *at = op.begun + 500_000;
            }
        });
    }),
    ("stale", "a balance is older than what was acknowledged", |case| {
        let at = op(case, |call| matches!(call, Call::Balance { .. }));
        let balance = told(case, at).balance.as_mut().unwrap();
        (balance.seq, balance.points, balance.cash) = (1, 1_000, 0);
        (balance.total, balance.available) = (1_000, 1_000);
    }),
    ("stale", "a list lacks what was acknowledged", |case| {
        let at = op(case, |call| matches!(call, Call::Entries { .. }));
        told(case, at).entries.remove(0);
    }),
    ("balance", "a balance that never was", |case| {
        let at = op(case, |call| matches!(call, Call::Balance { .. }));
        told(case, at).balance.as_mut().unwrap().points += 1;
    }),
    ("balance", "available is not the total less what is held", |case| {
        let at = op(case, |call| matches!(call, Call::Balance { .. }));
        told(case, at).balance.as_mut().unwrap().available += 1;
    }),
    ("balance", "the balance after a charge is not the one right after it", |case| {
        let at = charge_op(case, "t3");
        let later = case.told().balance;
        told(case, at).balance = later;
    }),
    ("fence", "a fence is left out", |case| case.books.leases[1].fence = 3),
    ("fence", "two leases of a task are open", |case| {
        case.books.leases.iter_mut().for_each(|lease| lease.released = i64::MAX);
    }),
    ("lease", "a lease that was given back is open", |case| case.books.leases[1].released = i64::MAX),
    ("lease", "a lease is not counted in its account", |case| case.books.accounts[0].uses -= 1),
    ("lease", "a task was settled, and the lease its runner named is open", |case| {
        let at = op(case, |call| matches!(call, Call::Complete { settle, .. } if settle.task == "t1"));
        let Call::Complete { settle, cost, capture } = &*case.history[at].call else { panic!() };
        let settle = crate::call::Settle { lease: "lease-2".into(), ..settle.clone() };
        case.history[at].call = Arc::new(Call::Complete { settle, cost: *cost, capture: *capture });
        case.books.leases[1].released = i64::MAX;
    }),
    ("lease", "a lease of no account", |case| case.books.leases[1].account = 9),
    ("chain", "entries of a user that comes before all others, and is not there", |case| {
        let mut row = case.books.ledger[0].clone();
        row.entry.user = 1;
        case.books.ledger.insert(0, row);
    }),
    ("hold", "more is held than there is", |case| case.books.users[0].points_held = 1_000_000),
    ("hold", "a hold of a user that is not there", |case| {
        let mut task = case.task("h1").clone();
        (task.user, task.held) = (99, (5, 0));
        case.books.tasks.push(task);
    }),
    ("once", "a task is stored twice", |case| {
        let task = case.task("t1").clone();
        case.books.tasks.push(task);
    }),
];

#[test]
fn a_clean_history_has_nothing_wrong() {
    let found = Case::clean().found();
    let rules: Vec<_> = found.rules().collect();
    assert!(rules.is_empty(), "{rules:#?}");
}

#[test]
fn each_planted_violation_is_flagged_by_its_rule() {
    for (rule, what, plant) in PLANTS {
        let mut case = Case::clean();
        plant(&mut case);
        let found = case.found();
        let by: BTreeSet<_> = found.rules().map(|(rule, ..)| rule).collect();
        assert!(by.contains(rule), "{what}: flagged by {by:?}, not by {rule}");
    }
}

#[test]
fn what_is_still_unknown_may_have_happened_and_may_not() {
    let mut case = Case::clean();
    case.is_resolved = false;
    // Its caller never heard, and it is there.
    let told = case.charge("", "t-done", &[(Purse::Points, -2)]);
    drop(told);
    case.send(Call::Charge(charge_of("", "t-done", 2)), unknown());
    // Its caller never heard, and it is not.
    case.send(Call::Charge(charge_of("x", "t-undone", 2)), unknown());
    case.finish();
    let rules: Vec<String> = case.found().rules().map(|(rule, ..)| rule.to_owned()).collect();
    assert!(rules.is_empty(), "{rules:?}");
    // Once all is resolved, what is there must have been told to somebody.
    case.is_resolved = true;
    let rules: Vec<String> = case.found().rules().map(|(rule, ..)| rule.to_owned()).collect();
    assert_eq!(rules, ["refused", "unexplained"]);
}

#[test]
fn calls_at_the_same_time_may_come_in_either_order() {
    let mut case = Case::clean();
    let (first, second) = (charge_op(&case, "t1"), charge_op(&case, "t2"));
    // They overlap: the first is not over when the second begins, nor is anything between.
    let over = case.history[second].ended();
    for op in &mut case.history[first..=second] {
        op.begun = 1_000_000 * first as u64;
        if let Some((at, _)) = &mut op.end {
            *at = over;
        }
    }
    let rules: Vec<_> = case.found().rules().map(|(rule, ..)| rule).collect();
    assert!(rules.is_empty(), "{rules:?}");
}

fn limits_of(case: &Case) -> Vec<&'static str> {
    let mut found = Findings::default();
    leases::check_limits(&case.books, |at| at, &mut found);
    found.rules().map(|(rule, ..)| rule).collect()
}

#[test]
fn a_slot_may_be_taken_in_the_moment_it_is_given_back_and_not_before() {
    let mut case = Case::clean();
    assert!(limits_of(&case).is_empty());
    case.books.leases[1].acquired -= 1;
    assert_eq!(limits_of(&case), ["lease"]);
    case.books.accounts[0].limit = 2;
    assert!(limits_of(&case).is_empty());
    // The smallest limit of a workspace holds for all of its accounts.
    let mut other = case.books.accounts[0].clone();
    (other.id, other.limit) = (2, 1);
    case.books.accounts.push(other);
    assert_eq!(limits_of(&case), ["lease"]);
}

#[test]
fn a_moment_of_a_stepped_clock_is_put_right() {
    const HOUR: i64 = 3_600_000_000;
    let began = 100 * HOUR;
    for after in [0, HOUR / 4, leases::LONGEST] {
        let at = began + after;
        assert_eq!(leases::unstepped(at, began), at);
        assert_eq!(leases::unstepped(at + HOUR, began), at);
        assert_eq!(leases::unstepped(at - HOUR, began), at);
    }
    assert_eq!(leases::unstepped(i64::MAX, began), i64::MAX);
    // Two at once, of which one was given back while the clock was off.
    let mut case = Case::clean();
    let given = |at: i64, until: i64| (began + at * 1_000_000, began + until * 1_000_000);
    let (acquired, released) = given(10, 20);
    (case.books.leases[0].acquired, case.books.leases[0].released) = (acquired, released - HOUR);
    (case.books.leases[1].acquired, case.books.leases[1].released) = given(15, 25);
    assert!(limits_of(&case).is_empty(), "as it was told, it seems to have been given back an hour before");
    let mut found = Findings::default();
    leases::check_limits(&case.books, |at| leases::unstepped(at, began), &mut found);
    assert_eq!(found.count(), 1);
}

#[test]
fn a_lease_of_an_account_that_is_not_there_is_flagged() {
    let mut case = Case::clean();
    case.books.leases.push(Lease { lease: "lease-3".into(), account: 9, ..Lease::default() });
    assert_eq!(limits_of(&case), ["lease"]);
}

/// The lines of the checkers that flag something, as they stand in the sources.
fn lines_that_flag() -> BTreeSet<(String, u32)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/checks");
    let mut lines = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        for (line, number) in std::fs::read_to_string(&path).unwrap().lines().zip(1..) {
            if line.contains("found.add(") {
                lines.insert((name.clone(), number));
            }
        }
    }
    lines
}

#[test]
fn no_checker_has_a_line_that_was_never_seen_to_flag() {
    let mut all: Vec<Findings> = whole::flagged();
    for (_, _, plant) in PLANTS {
        let mut case = Case::clean();
        plant(&mut case);
        let mut found = case.found();
        leases::check_limits(&case.books, |at| at, &mut found);
        all.push(found);
    }
    let name = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
    let seen: BTreeSet<(String, u32)> =
        all.iter().flat_map(Findings::places).map(|(file, line)| (name(file), line)).collect();
    let lines = lines_that_flag();
    assert!(lines.len() > 40, "the sources were read: {}", lines.len());
    let never: Vec<_> = lines.difference(&seen).collect();
    assert!(never.is_empty(), "never seen to flag: {never:?}");
}
