//! What is asked of the run as a whole: that it went on, that its logs are clean, that the evidence is there once.

use std::collections::BTreeMap;

use super::Findings;
use crate::books::{Books, Event};
use crate::history::{Moment, Op, is_acknowledged};

/// So long at most nothing is acknowledged while a replica and the database are well, in microseconds.
const STILL: Moment = 30_000_000;

/// When something was acknowledged, in order.
pub(crate) fn acknowledged(history: &[Op]) -> Vec<Moment> {
    let done = history.iter().filter(|op| op.call.is_write());
    let mut moments: Vec<Moment> =
        done.filter(|op| op.outcome().is_some_and(is_acknowledged)).map(Op::ended).collect();
    moments.sort_unstable();
    moments
}

/// The times without an acknowledged write while a server and the database were well. `blocked` are the times in which
/// nothing could be written, `over` is the end of the load.
fn stalls(moments: &[Moment], blocked: &[(Moment, Moment)], over: Moment) -> Vec<(Moment, Moment)> {
    let mut blocked = blocked.to_vec();
    blocked.sort_unstable();
    let mut stalls = Vec::new();
    let mut well = 0;
    for (begun, healed) in blocked.into_iter().chain([(over, over)]) {
        let until = begun.min(over);
        if until > well {
            let first = moments.partition_point(|&at| at < well);
            let last = moments.partition_point(|&at| at < until);
            let mut before = well;
            for &at in moments[first..last].iter().chain([&until]) {
                stalls.push((before, at));
                before = at;
            }
        }
        well = well.max(healed);
    }
    stalls
}

/// The longest of these.
pub(crate) fn longest_stall(moments: &[Moment], blocked: &[(Moment, Moment)], over: Moment) -> Moment {
    stalls(moments, blocked, over).into_iter().map(|(from, to)| to - from).max().unwrap_or_default()
}

/// None of these is too long.
pub(crate) fn liveness(moments: &[Moment], blocked: &[(Moment, Moment)], over: Moment, found: &mut Findings) {
    for (from, to) in stalls(moments, blocked, over) {
        if to - from > STILL {
            found.add("liveness", || {
                let seconds = |at: Moment| at as f64 / 1e6;
                format!("nothing was acknowledged from {:.1} s to {:.1} s", seconds(from), seconds(to))
            });
        }
    }
}

/// No server has panicked, told a secret, or gone on in a transaction that had failed.
pub(crate) fn logs(logs: &[(String, String)], canary: &str, found: &mut Findings) {
    for (name, text) in logs {
        for line in text.lines() {
            let is_panic = line.contains("panicked at") || line.contains("stack backtrace");
            let is_aborted = line.contains("25P02") || line.contains("current transaction is aborted");
            if is_panic {
                found.add("panic", || format!("{name}: {line}"));
            }
            if is_aborted {
                found.add("25P02", || format!("{name}: {line}"));
            }
            if line.contains(canary) {
                found.add("secret", || format!("{name} has a line with a secret"));
            }
        }
    }
}

/// No answer has told a secret, and none says that the service has a bug.
pub(crate) fn answers(history: &[Op], canary: &str, found: &mut Findings) {
    use crate::answer::Outcome;
    for op in history {
        let Some(Outcome::Info { reason, message, .. }) = op.outcome() else { continue };
        if message.contains(canary) {
            found.add("secret", || format!("op {} was answered with a secret", op.op));
        }
        if reason == "INTERNAL" {
            found.add("internal", || format!("op {} {:?}: {message}", op.op, op.call));
        }
    }
}

/// One row for each event that fal has billed, and none besides.
pub(crate) fn evidence(billed: &[Event], books: &Books, found: &mut Findings) {
    let mut counts: BTreeMap<&Event, i64> = BTreeMap::new();
    for event in billed {
        *counts.entry(event).or_default() += 1;
    }
    for event in &books.events {
        *counts.entry(event).or_default() -= 1;
    }
    for (event, count) in counts {
        match count {
            0 => {}
            1.. => found.add("evidence", || format!("billed, and no evidence: {event:?}")),
            _ => found.add("evidence", || format!("{} rows too many: {event:?}", -count)),
        }
    }
}
