//! Contender a: the usual transaction of five statements, by PostgreSQL's own load generator.
//!
//! It writes the rows of a charge into scrip's tables, with the lock, the balance and the sequence that they need, and
//! nothing else: no idempotency, no chain, no answer to anybody.

use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use tokio::process::Command;

use crate::load::histogram;

const CHARGE: &str = r#"
\set amount random(1, 7)
BEGIN;
SELECT points_balance, entry_seq + 1 AS seq FROM ts_users WHERE id = :user_id FOR UPDATE \gset
INSERT INTO ts_fal_tasks (user_id, task_id, app_name, status, money, created_at, charged_points, fingerprint, charge_seq) VALUES (:user_id, md5(random()::text || clock_timestamp()::text), 'fal-ai/flux/dev', 'pending', :amount, now(), :amount, '\x0707070707070707070707070707070707070707070707070707070707070707', :seq);
INSERT INTO ts_financial_transactions (user_id, user_seq, money, "time", transaction_type, is_cash, operation, source_type, balance_before, balance_after, actor, entry_hash) VALUES (:user_id, :seq, (0 - :amount::bigint), now(), 1, 0, 'charge', 'consume', :points_balance, :points_balance::bigint - :amount::bigint, 'bench', '\x0707070707070707070707070707070707070707070707070707070707070707');
INSERT INTO ts_points_detail (user_id, user_seq, points, source_type, balance_before, balance_after, created_at, actor) VALUES (:user_id, :seq, (0 - :amount::bigint), 'consume', :points_balance, :points_balance::bigint - :amount::bigint, now(), 'bench');
UPDATE ts_users SET points_balance = points_balance - :amount::bigint, entry_seq = :seq, last_entry_at = now(), updated_at = now() WHERE id = :user_id;
COMMIT;
"#;

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub clients: u32,
    /// How many users there are to draw from; 1 is the hot one.
    pub users: u32,
    pub seconds: u32,
    /// Transactions a second, where they are to come at a rate.
    pub rate: Option<f64>,
    /// Whether each transaction's latency is wanted; it costs a little.
    pub is_timed: bool,
}

pub struct Figures {
    /// Transactions a second.
    pub rate: f64,
    /// In microseconds, from when each was due. Empty unless asked for.
    pub latencies: Histogram<u64>,
}

/// Whether it is there; PostgreSQL's client package brings it.
pub fn find() -> Option<PathBuf> {
    crate::postgres::on_path("pgbench")
}

pub async fn run(url: &str, run: Run) -> Figures {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("charge.sql");
    let text = format!("\\set user_id random(1, {})\n{}", run.users, CHARGE.trim_start());
    std::fs::write(&script, text).expect("a script");
    let mut command = Command::new(find().expect("pgbench"));
    command.current_dir(folder.path()).args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2"]);
    command.args(["--client", &run.clients.to_string(), "--time", &run.seconds.to_string()]);
    if run.is_timed {
        command.args(["--log", "--log-prefix", "times"]);
    }
    if let Some(rate) = run.rate {
        command.args(["--rate", &format!("{rate:.0}")]);
    }
    let output = command.arg("--file").arg(&script).arg(url).output().await.expect("pgbench runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pgbench: {complaint}");
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let rate = rate.unwrap_or_else(|| panic!("pgbench says no tps:\n{said}\n{complaint}"));
    Figures { rate, latencies: latencies(folder.path()) }
}

/// Of the third column of what `--log` writes: microseconds.
fn latencies(folder: &Path) -> Histogram<u64> {
    let mut found = histogram();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if !entry.file_name().to_string_lossy().starts_with("times.") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("a log");
        for micros in text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok()) {
            found.saturating_record(micros);
        }
    }
    found
}
