//! Every cell of the table of task states: each call on a task in each status, with its hold in each state.
//!
//! A cell says what must come of the call:
//!
//! | cell | meaning |
//! |---|---|
//! | `.` | no task ever stands there |
//! | `=` | a replay: nothing is written |
//! | `>status/hold` | done; where the task then stands (`-` where it never had a hold) … |
//! | `>status/hold-400` | … and what moved in the purses |
//! | `late` | recorded, answered as late; status, hold and money stay |
//! | `already` | TASK_ALREADY_CHARGED |
//! | `conflict` | TASK_STATE_CONFLICT |
//! | `expired` | HOLD_EXPIRED |
//! | `exceeds` | CAPTURE_EXCEEDS_HOLD |
//! | `over` | REFUND_EXCEEDS_CHARGE |
//! | `invalid` | INVALID_FIELD |

use std::collections::BTreeMap;

use super::commands::{
    authorize, capture, charge, complete, expire, fail, refund, refund_all, start, text, void,
};
use super::{AsCommand, Bench, Outcome, Rejection, is_of_another_room};
use crate::ledger::command::{Authorize, Charge, Command, CompleteTask, FailTask};
use crate::ledger::{HoldState, Method, Task, TaskStatus};

const STATUSES: [TaskStatus; 5] = [
    TaskStatus::Pending,
    TaskStatus::Processing,
    TaskStatus::Completed,
    TaskStatus::Failed,
    TaskStatus::Canceled,
];
const HOLDS: [&str; 7] = ["charged", "free", "open", "past", "captured", "voided", "expired"];
const TTL: i64 = 10_000_000;

/// Charges and holds are of 600; a capture took 400.
const TABLE: &str = "
call            | hold           | pending                   processing                   completed                  failed            canceled
charge          | charged free   | =                         =                            =                          =                 .
charge          | open past      | already                   already                      already                    .                 .
charge          | captured       | already                   already                      already                    already           .
charge          | voided expired | .                         already                      already                    already           already
charge other    | charged free   | already                   already                      already                    already           .
charge other    | open past      | already                   already                      already                    .                 .
charge other    | captured       | already                   already                      already                    already           .
charge other    | voided expired | .                         already                      already                    already           already
authorize       | charged free   | already                   already                      already                    already           .
authorize       | open past      | =                         =                            =                          .                 .
authorize       | captured       | =                         =                            =                          =                 .
authorize       | voided expired | .                         =                            =                          =                 =
authorize other | charged free   | already                   already                      already                    already           .
authorize other | open past      | already                   already                      already                    .                 .
authorize other | captured       | already                   already                      already                    already           .
authorize other | voided expired | .                         already                      already                    already           already
start           | charged free   | >processing/-             =                            conflict                   conflict          .
start           | open past      | >processing/open          =                            conflict                   .                 .
start           | captured       | >processing/captured      =                            conflict                   conflict          .
start           | voided         | .                         =                            conflict                   conflict          conflict
start           | expired        | .                         =                            conflict                   conflict          conflict
start other     | charged free   | >processing/-             >processing/-                conflict                   conflict          .
start other     | open past      | >processing/open          >processing/open             conflict                   .                 .
start other     | captured       | >processing/captured      >processing/captured         conflict                   conflict          .
start other     | voided         | .                         >processing/voided           conflict                   conflict          conflict
start other     | expired        | .                         >processing/expired          conflict                   conflict          conflict
complete        | charged free   | >completed/-              >completed/-                 =                          late              .
complete        | open past      | >completed/open           >completed/open              =                          .                 .
complete        | captured       | >completed/captured       >completed/captured          =                          late              .
complete        | voided         | .                         >completed/voided            =                          late              late
complete        | expired        | .                         >completed/expired           =                          late              late
complete other  | charged free   | >completed/-              >completed/-                 conflict                   late              .
complete other  | open past      | >completed/open           >completed/open              conflict                   .                 .
complete other  | captured       | >completed/captured       >completed/captured          conflict                   late              .
complete other  | voided         | .                         >completed/voided            conflict                   late              late
complete other  | expired        | .                         >completed/expired           conflict                   late              late
complete 400    | charged free   | conflict                  conflict                     conflict                   conflict          .
complete 400    | open           | >completed/captured-400   >completed/captured-400      conflict                   .                 .
complete 400    | past           | expired                   expired                      conflict                   .                 .
complete 400    | captured       | conflict                  conflict                     conflict                   conflict          .
complete 400    | voided         | .                         conflict                     conflict                   conflict          conflict
complete 400    | expired        | .                         expired                      conflict                   conflict          conflict
fail            | charged        | >failed/-+600             >failed/-+600                conflict                   conflict          .
fail            | free           | >failed/-                 >failed/-                    conflict                   =                 .
fail            | open past      | >failed/voided            >failed/voided               conflict                   .                 .
fail            | captured       | >failed/captured+400      >failed/captured+400         conflict                   conflict          .
fail            | voided         | .                         >failed/voided               conflict                   =                 conflict
fail            | expired        | .                         >failed/expired              conflict                   =                 conflict
fail no_refund  | charged        | >failed/-                 >failed/-                    conflict                   =                 .
fail no_refund  | free           | >failed/-                 >failed/-                    conflict                   conflict          .
fail no_refund  | open past      | invalid                   invalid                      conflict                   .                 .
fail no_refund  | captured       | >failed/captured          >failed/captured             conflict                   =                 .
fail no_refund  | voided         | .                         >failed/voided               conflict                   conflict          conflict
fail no_refund  | expired        | .                         >failed/expired              conflict                   conflict          conflict
capture 400     | charged free   | conflict                  conflict                     conflict                   conflict          .
capture 400     | open           | >pending/captured-400     >processing/captured-400     >completed/captured-400    .                 .
capture 400     | past           | expired                   expired                      expired                    .                 .
capture 400     | captured       | =                         =                            =                          =                 .
capture 400     | voided         | .                         conflict                     conflict                   conflict          conflict
capture 400     | expired        | .                         expired                      expired                    expired           expired
capture 600     | charged free   | conflict                  conflict                     conflict                   conflict          .
capture 600     | open           | >pending/captured-600     >processing/captured-600     >completed/captured-600    .                 .
capture 600     | past           | expired                   expired                      expired                    .                 .
capture 600     | captured       | conflict                  conflict                     conflict                   conflict          .
capture 600     | voided         | .                         conflict                     conflict                   conflict          conflict
capture 600     | expired        | .                         expired                      expired                    expired           expired
capture 601     | charged free   | conflict                  conflict                     conflict                   conflict          .
capture 601     | open           | exceeds                   exceeds                      exceeds                    .                 .
capture 601     | past           | expired                   expired                      expired                    .                 .
capture 601     | captured       | conflict                  conflict                     conflict                   conflict          .
capture 601     | voided         | .                         conflict                     conflict                   conflict          conflict
capture 601     | expired        | .                         expired                      expired                    expired           expired
void            | charged free   | conflict                  conflict                     conflict                   conflict          .
void            | open           | >canceled/voided          >processing/voided           >completed/voided          .                 .
void            | past           | expired                   expired                      expired                    .                 .
void            | captured       | conflict                  conflict                     conflict                   conflict          .
void            | voided         | .                         =                            =                          =                 =
void            | expired        | .                         expired                      expired                    expired           expired
expire          | charged free   | conflict                  conflict                     conflict                   conflict          .
expire          | open           | conflict                  conflict                     conflict                   .                 .
expire          | past           | >canceled/expired         >processing/expired          >completed/expired         .                 .
expire          | captured       | conflict                  conflict                     conflict                   conflict          .
expire          | voided         | .                         conflict                     conflict                   conflict          conflict
expire          | expired        | .                         conflict                     conflict                   conflict          conflict
refund all      | charged        | >pending/-+600            >processing/-+600            >completed/-+600           >failed/-+600     .
refund all      | free           | conflict                  conflict                     conflict                   conflict          .
refund all      | open past      | conflict                  conflict                     conflict                   .                 .
refund all      | captured       | >pending/captured+400     >processing/captured+400     >completed/captured+400    >failed/captured+400 .
refund all      | voided expired | .                         conflict                     conflict                   conflict          conflict
refund 1        | charged        | >pending/-+1              >processing/-+1              >completed/-+1             >failed/-+1       .
refund 1        | free           | conflict                  conflict                     conflict                   conflict          .
refund 1        | open past      | conflict                  conflict                     conflict                   .                 .
refund 1        | captured       | >pending/captured+1       >processing/captured+1       >completed/captured+1      >failed/captured+1 .
refund 1        | voided expired | .                         conflict                     conflict                   conflict          conflict
refund 601      | charged        | over                      over                         over                       over              .
refund 601      | free           | conflict                  conflict                     conflict                   conflict          .
refund 601      | open past      | conflict                  conflict                     conflict                   .                 .
refund 601      | captured       | over                      over                         over                       over              .
refund 601      | voided expired | .                         conflict                     conflict                   conflict          conflict
";

fn amount_of(hold: &str) -> i64 {
    if hold == "free" { 0 } else { 600 }
}

/// The calls of the table, on a task of that kind.
fn calls(hold: &str) -> Vec<(&'static str, Command)> {
    let same = charge("t", amount_of(hold));
    let held = Authorize { ttl_micros: Some(TTL), ..authorize("t", 600) };
    let other = text("fal-ai/another");
    let capturing = CompleteTask { capture_amount: Some(400), ..complete("t") };
    vec![
        ("charge", same.clone().command()),
        ("charge other", Charge { app_name: other.clone(), ..same }.command()),
        ("authorize", held.clone().command()),
        (
            "authorize other",
            Authorize { charge: Charge { app_name: other, ..charge("t", 600) }, ..held }.command(),
        ),
        ("start", start("t", "online-1").command()),
        ("start other", start("t", "online-2").command()),
        ("complete", complete("t").command()),
        ("complete other", CompleteTask { cost_nano_usd: Some(1), ..complete("t") }.command()),
        ("complete 400", capturing.command()),
        ("fail", fail("t").command()),
        ("fail no_refund", FailTask { no_refund: true, ..fail("t") }.command()),
        ("capture 400", capture("t", 400).command()),
        ("capture 600", capture("t", 600).command()),
        ("capture 601", capture("t", 601).command()),
        ("void", void("t").command()),
        ("expire", expire("t").command()),
        ("refund all", refund_all("t").command()),
        ("refund 1", refund("t", 1).command()),
        ("refund 601", refund("t", 601).command()),
    ]
}

/// Brings a task to a status with its hold in a state, by the calls that lead there; `None` if none do.
fn reach(hold: &str, status: TaskStatus) -> Option<Bench> {
    let mut bench = Bench::with(1_000, 0);
    match hold {
        "charged" | "free" => bench.ok(charge("t", amount_of(hold))),
        _ => bench.ok(Authorize { ttl_micros: Some(TTL), ..authorize("t", 600) }),
    };
    if !matches!(status, TaskStatus::Pending | TaskStatus::Canceled) {
        bench.ok(start("t", "online-1"));
    }
    match hold {
        "captured" => drop(bench.ok(capture("t", 400))),
        "voided" => drop(bench.ok(void("t"))),
        "expired" => {
            bench.pass(TTL);
            bench.ok(expire("t"));
        }
        _ => {}
    }
    match status {
        TaskStatus::Completed => drop(bench.ok(complete("t"))),
        // What was charged stays with the task, so that there is something left to refund.
        TaskStatus::Failed => {
            drop(bench.ok(FailTask { no_refund: matches!(hold, "charged" | "captured"), ..fail("t") }));
        }
        TaskStatus::Pending | TaskStatus::Processing | TaskStatus::Canceled => {}
    }
    if hold == "past" {
        bench.pass(TTL);
    }
    let task = bench.world.task("t");
    let stands = (task.status, hold_of(task));
    let wanted = match hold {
        "charged" | "free" => "-",
        "past" => "open",
        hold => hold,
    };
    (stands == (status, wanted)).then_some(bench)
}

fn hold_of(task: &Task) -> &'static str {
    task.hold_state.map_or("-", HoldState::as_str)
}

/// What came of a call, in the table's words.
fn cell(before: &Bench, after: &Bench, outcome: &Outcome) -> String {
    let unchanged = after.world.tasks() == before.world.tasks()
        && after.world.users() == before.world.users()
        && after.world.entries() == before.world.entries()
        && after.world.attempts() == before.world.attempts();
    let (was, is) = (before.world.task("t"), after.world.task("t"));
    let word = match outcome {
        Ok(done) if done.late => {
            let stays = (was.status, was.hold_state) == (is.status, is.hold_state);
            assert!(stays && done.entries.is_empty(), "a late report changes neither status nor money");
            return "late".to_owned();
        }
        Ok(done) if done.replayed => "=",
        Ok(done) => {
            let moved: i64 = done.entries.iter().map(|entry| entry.amount).sum();
            let moved = if moved == 0 { String::new() } else { format!("{moved:+}") };
            return format!(">{}/{}{moved}", is.status, hold_of(is));
        }
        Err(Rejection::TaskAlreadyCharged { status, .. }) => {
            assert_eq!(*status, was.status, "the conflict tells where the task stands");
            "already"
        }
        Err(Rejection::TaskStateConflict { task_id, status, .. }) => {
            assert_eq!((&**task_id, *status), ("t", was.status), "the conflict tells where the task stands");
            "conflict"
        }
        Err(Rejection::HoldExpired { .. }) => "expired",
        Err(Rejection::CaptureExceedsHold { .. }) => "exceeds",
        Err(Rejection::RefundExceedsCharge { .. }) => "over",
        Err(Rejection::InvalidField(_)) => "invalid",
        Err(other) => return format!("{other:?}"),
    };
    assert!(unchanged, "a refusal or replay changes nothing");
    word.to_owned()
}

fn expected() -> BTreeMap<(String, String, TaskStatus), String> {
    let mut cells = BTreeMap::new();
    for line in TABLE.lines().skip(2) {
        let mut parts = line.split('|').map(str::trim);
        let (call, holds, row) = (parts.next(), parts.next(), parts.next());
        let (call, holds, row) = (call.expect("a call"), holds.expect("holds"), row.expect("cells"));
        for hold in holds.split_whitespace() {
            let row: Vec<&str> = row.split_whitespace().collect();
            assert_eq!(row.len(), STATUSES.len(), "a cell for each status: {line}");
            for (status, cell) in STATUSES.into_iter().zip(row) {
                let key = (call.to_owned(), hold.to_owned(), status);
                assert_eq!(cells.insert(key, cell.to_owned()), None, "one cell a combination: {line}");
            }
        }
    }
    cells
}

#[test]
fn every_call_does_what_the_table_says_in_every_state_of_a_task() {
    let mut expected = expected();
    let mut wrong = Vec::new();
    for hold in HOLDS {
        for status in STATUSES {
            let standing = reach(hold, status);
            for (call, command) in calls(hold) {
                let found = match &standing {
                    None => ".".to_owned(),
                    Some(before) => {
                        let mut after = before.clone();
                        let outcome = after.run(command);
                        cell(before, &after, &outcome)
                    }
                };
                let key = (call.to_owned(), hold.to_owned(), status);
                let want = expected.remove(&key).unwrap_or_else(|| "a cell".to_owned());
                if want != found {
                    wrong.push(format!("{call} on {status}, {hold}: must be {want}, is {found}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(expected.is_empty(), "cells of no combination: {expected:#?}");
}

#[test]
fn every_method_that_names_a_task_has_its_rows_in_the_table() {
    let called: Vec<Method> = calls("open").iter().map(|(_, command)| command.method()).collect();
    for method in Method::ALL {
        if is_of_another_room(*method) {
            continue;
        }
        let names_a_task = !matches!(method, Method::Credit | Method::Debit);
        assert_eq!(called.contains(method), names_a_task, "{method}");
    }
    assert_eq!(TaskStatus::ALL, STATUSES, "a column for each status");
    let named = |state: &HoldState| HOLDS.contains(&state.as_str());
    assert!(HoldState::ALL.iter().all(named), "a row for each state of a hold");
}

#[test]
fn a_repeat_of_a_call_that_was_done_is_a_replay_wherever_it_led() {
    for hold in HOLDS {
        for bench in STATUSES.into_iter().filter_map(|status| reach(hold, status)) {
            for (call, command) in calls(hold) {
                let mut bench = bench.clone();
                // A part of a refund is told from a second part by its request id.
                let repeatable = !matches!(&command, Command::Refund(refund) if refund.amount.is_some());
                if bench.run(command.clone()).is_err() || !repeatable {
                    continue;
                }
                // The engine asks again only for a hold that is still there.
                if call == "expire" {
                    assert!(matches!(bench.refused(command), Rejection::TaskStateConflict { .. }));
                    continue;
                }
                bench.pass(1);
                bench.replay(command);
            }
        }
    }
}
