//! What is asked of a run as a whole, and what its verdict is.

use std::sync::Arc;

use crate::answer::Outcome;
use crate::books::{Books, Event};
use crate::call::Call;
use crate::checks::{Findings, run};
use crate::fault::{Fault, Window};
use crate::history::Op;
use crate::report::{Report, Verdict, recoveries};

const SECOND: u64 = 1_000_000;

fn rules(found: &Findings) -> Vec<&'static str> {
    found.rules().map(|(rule, ..)| rule).collect()
}

fn liveness(acknowledged: &[u64], blocked: &[(u64, u64)]) -> usize {
    let moments: Vec<u64> = acknowledged.iter().map(|at| at * SECOND).collect();
    let blocked: Vec<_> = blocked.iter().map(|(from, to)| (from * SECOND, to * SECOND)).collect();
    let mut found = Findings::default();
    run::liveness(&moments, &blocked, 100 * SECOND, &mut found);
    found.count()
}

#[test]
fn half_a_minute_without_a_write_is_flagged_unless_nothing_could_be_written() {
    let all: Vec<u64> = (0..100).collect();
    assert_eq!(liveness(&all, &[]), 0);
    let gap: Vec<u64> = (0..100).filter(|at| !(20..60).contains(at)).collect();
    assert_eq!(liveness(&gap, &[]), 1);
    assert_eq!(liveness(&gap, &[(20, 58)]), 0, "the database was away");
    assert_eq!(liveness(&gap, &[(20, 25)]), 1, "it came back and nothing was written");
    assert_eq!(liveness(&[], &[]), 1, "nothing at all");
    let begins_late: Vec<u64> = (40..100).collect();
    assert_eq!(liveness(&begins_late, &[]), 1);
    let ends_early: Vec<u64> = (0..60).collect();
    assert_eq!(liveness(&ends_early, &[]), 1);
    // Two that overlap are one time.
    assert_eq!(liveness(&gap, &[(20, 40), (30, 58)]), 0);
    let moments: Vec<u64> = gap.iter().map(|at| at * SECOND).collect();
    let longest = |blocked| run::longest_stall(&moments, blocked, 100 * SECOND);
    assert_eq!((longest(&[]), longest(&[(19 * SECOND, 50 * SECOND)])), (41 * SECOND, 10 * SECOND));
}

#[test]
fn a_panic_a_secret_and_an_aborted_transaction_are_found_in_a_log() {
    let check = |line: &str| {
        let mut found = Findings::default();
        run::logs(&[("replica 0".to_owned(), format!("all is well\n{line}\n"))], "canary1", &mut found);
        rules(&found).join(" ")
    };
    assert_eq!(check("nothing"), "");
    assert_eq!(check("thread 'main' panicked at src/x.rs:1:2"), "panic");
    assert_eq!(check("key-3:canary1-3"), "secret");
    assert_eq!(check("error code 25P02"), "25P02");
    assert_eq!(check("ERROR:  current transaction is aborted, commands ignored"), "25P02");
}

#[test]
fn an_answer_with_a_secret_and_one_that_tells_of_a_bug_are_flagged() {
    let check = |reason: &str, message: &str| {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        let end = Some((1, Outcome::Info { code: "Internal".into(), reason, message }));
        let call = Arc::new(Call::Balance { user: 1 });
        let mut found = Findings::default();
        let op = Op { op: 0, client: 0, replica: 0, call, begun: 0, end };
        run::answers(&[op], "canary1", &mut found);
        rules(&found).join(" ")
    };
    assert_eq!(check("STORE_UNAVAILABLE", "away"), "");
    assert_eq!(check("INTERNAL", "internal error"), "internal");
    assert_eq!(check("", "the key is canary1-2"), "secret");
}

#[test]
fn evidence_that_is_missing_doubled_or_of_nothing_is_flagged() {
    let event = |request: &str| Event { workspace: "ws".into(), request: request.into(), at: 1 };
    let check = |billed: &[Event], stored: &[Event]| {
        let books = Books { events: stored.to_vec(), ..Books::default() };
        let mut found = Findings::default();
        run::evidence(billed, &books, &mut found);
        found.count()
    };
    assert_eq!(check(&[event("a"), event("b")], &[event("a"), event("b")]), 0);
    assert_eq!(check(&[event("a"), event("b")], &[event("a")]), 1);
    assert_eq!(check(&[event("a")], &[event("a"), event("a")]), 1);
    assert_eq!(check(&[event("a")], &[event("a"), event("c")]), 1);
}

fn report(findings: Findings, left: usize, doubts: &[&str]) -> Report {
    Report {
        seed: 1,
        command: "scripts/torture.sh --seed 1".into(),
        facts: vec![("store".into(), "sqlite <&>".into())],
        tallies: crate::report::tallies(&[]),
        windows: vec![window()],
        not_run: vec![("disk-full".into(), "no mount".into())],
        unknown: (3, left),
        recoveries: recoveries(&[window()], &[], &[SECOND, 6 * SECOND]),
        acknowledged: vec![SECOND, 6 * SECOND],
        over: 10 * SECOND,
        findings,
        doubts: doubts.iter().map(|&doubt| doubt.to_owned()).collect(),
    }
}

fn window() -> Window {
    Window { fault: Fault::ReplicaKill, begun: 2 * SECOND, healed: 4 * SECOND, remark: "replica 0".into() }
}

#[test]
fn what_is_unresolved_or_unchecked_is_never_a_pass() {
    assert_eq!(report(Findings::default(), 0, &[]).verdict(), Verdict::Pass);
    assert_eq!(report(Findings::default(), 1, &[]).verdict(), Verdict::Unknown);
    assert_eq!(report(Findings::default(), 0, &["verify could not run"]).verdict(), Verdict::Unknown);
    let mut found = Findings::default();
    found.add("chain", || "broken".into());
    assert_eq!(report(found, 1, &["and more"]).verdict(), Verdict::Violations);
    let codes = [Verdict::Pass, Verdict::Violations, Verdict::Unknown].map(Verdict::exit_code);
    assert_eq!(codes, [0, 1, 2]);
}

#[test]
fn recovery_is_from_the_healing_to_the_next_acknowledged_write() {
    let acknowledged = [SECOND, 3 * SECOND, 9 * SECOND];
    let times = |blocked: &[(u64, u64)]| {
        let blocked: Vec<_> = blocked.iter().map(|(from, to)| (from * SECOND, to * SECOND)).collect();
        recoveries(&[window()], &blocked, &acknowledged)[Fault::ReplicaKill.name()].clone()
    };
    assert_eq!(times(&[]), [5.0]);
    assert_eq!(times(&[(0, 3), (2, 4)]), [5.0], "what was healed before");
    assert_eq!(times(&[(3, 7), (6, 8)]), [1.0], "the database was away until 8 s");
    assert_eq!(times(&[(5, 8)]), [2.0], "it was away from 5 to 8 s");
    assert_eq!(times(&[(5, 6), (7, 20)]), [2.0], "and what came after the write does not count");
    assert!(recoveries(&[window()], &[], &[SECOND]).is_empty(), "nothing came after it");
}

#[test]
fn both_pages_tell_the_verdict_the_findings_and_what_did_not_run() {
    let mut found = Findings::default();
    found.add("chain", || "user 7: entry 3 where 2 was due".into());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/torture");
    report(found, 0, &[]).write(&path).unwrap();
    for name in ["torture.md", "torture.html"] {
        let page = std::fs::read_to_string(folder.path().join("new").join(name)).unwrap();
        for what in [
            "violations",
            "user 7: entry 3 where 2 was due",
            "replica-kill",
            "disk-full",
            "--seed 1",
            "2.000 s",
        ] {
            assert!(page.contains(what), "{what} in {name}");
        }
    }
    let page = std::fs::read_to_string(folder.path().join("new/torture.html")).unwrap();
    assert!(
        page.contains("<svg") && page.contains("sqlite &lt;&amp;&gt;") && !page.contains("http"),
        "{page}"
    );
}

/// One of each of what these rules flag.
pub(crate) fn flagged() -> Vec<Findings> {
    let mut found = Findings::default();
    run::liveness(&[], &[], 100 * SECOND, &mut found);
    let log = "panicked at x\ncanary1\n25P02".to_owned();
    run::logs(&[("replica 0".to_owned(), log)], "canary1", &mut found);
    for (reason, message) in [("INTERNAL", ""), ("", "canary1")] {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        let end = Some((1, Outcome::Info { code: "Internal".into(), reason, message }));
        let call = Arc::new(Call::Balance { user: 1 });
        run::answers(&[Op { op: 0, client: 0, replica: 0, call, begun: 0, end }], "canary1", &mut found);
    }
    let event = |request: &str| Event { workspace: "ws".into(), request: request.into(), at: 1 };
    let books = Books { events: vec![event("b")], ..Books::default() };
    run::evidence(&[event("a")], &books, &mut found);
    vec![found]
}
