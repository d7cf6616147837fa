//! What the bench says at its end.

use std::io;

use super::load::Load;
use super::sum::Sum;
use crate::cli::output::{Out, plain};

/// Wrong balances that are named one by one.
const NAMED: usize = 10;

pub(super) fn print(out: &mut Out, load: &Load, sum: &Sum) -> io::Result<()> {
    speed(out, load, "charges")?;
    let paint = out.paint();
    if sum.unknown > 0 {
        let unknown = format!("{} charges were never answered", sum.unknown);
        out.line(format!("unknown    {}", paint.red(&unknown)))?;
    }
    let judged = format!("{} points charged to {} users", sum.points, sum.users);
    let verdict = match sum.wrong.len() {
        0 => paint.green("exact"),
        wrong => paint.red(&format!("WRONG for {wrong} users")),
    };
    out.line(format!("sum        {verdict}: {judged}"))?;
    for (user_id, expected, found) in sum.wrong.iter().take(NAMED) {
        out.line(format!("           user {user_id}: expected {expected}, found {found}"))?;
    }
    Ok(())
}

/// The same of keys leased and given back, and of the slots that did not come back.
pub(super) fn print_pairs(out: &mut Out, load: &Load, slots_left: i64) -> io::Result<()> {
    speed(out, load, "pairs")?;
    let paint = out.paint();
    let verdict = match slots_left {
        0 => paint.green("all came back"),
        left => paint.red(&format!("{left} DID NOT COME BACK")),
    };
    out.line(format!("slots      {verdict}"))
}

fn speed(out: &mut Out, load: &Load, what: &str) -> io::Result<()> {
    let seconds = load.took.as_secs_f64();
    let paint = out.paint();
    let rate = if seconds > 0.0 { load.charged as f64 / seconds } else { 0.0 };
    out.line(format!("{what:<10} {} in {seconds:.1} s", load.charged))?;
    out.line(format!("{:<10} {}", format!("{what}/s"), paint.bold(&format!("{rate:.0}"))))?;
    let mut latencies = load.latencies.clone();
    latencies.sort_unstable();
    let [p50, p99, max] = [50, 99, 100].map(|percent| millis(&latencies, percent));
    out.line(format!("latency    p50 {p50}   p99 {p99}   max {max}"))?;
    out.line(format!("errors     {}", load.errors.values().sum::<u64>()))?;
    for (reason, count) in &load.errors {
        out.line(format!("           {count} × {}", plain(reason)))?;
    }
    Ok(())
}

/// A percentile of sorted microseconds, in milliseconds.
fn millis(sorted: &[u32], percent: usize) -> String {
    let Some(last) = sorted.len().checked_sub(1) else { return "–".to_owned() };
    let micros = sorted.get(last * percent / 100).copied().unwrap_or_default();
    format!("{:.2} ms", f64::from(micros) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_calls() {
        assert_eq!(millis(&[], 50), "–");
        assert_eq!(millis(&[1_500], 99), "1.50 ms");
        let calls: Vec<u32> = (1..=101).map(|n| n * 1_000).collect();
        assert_eq!(millis(&calls, 50), "51.00 ms");
        assert_eq!(millis(&calls, 99), "100.00 ms");
        assert_eq!(millis(&calls, 100), "101.00 ms");
    }
}
