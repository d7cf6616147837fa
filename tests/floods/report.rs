//! What came of the floods, as a table and as the page.

use crate::flood::Flood;
use crate::honest::Seen;
use crate::overload::Overloaded;

/// A server under a flood may take this times the memory, and an honest call's p99 this times its time.
const MEMORY: f64 = 2.0;
const LATENCY: f64 = 5.0;

/// One flood.
#[derive(Debug)]
pub(crate) struct Flooded {
    pub(crate) flood: Flood,
    /// What the attacker says that it did.
    pub(crate) deeds: String,
    pub(crate) calm: Seen,
    pub(crate) under: Seen,
    /// Resident bytes without the flood, and the most under it.
    pub(crate) rss: (u64, u64),
    /// How long a client waits for a new connection's first answer, at the flood's height.
    pub(crate) newcomer: Result<f64, String>,
    pub(crate) wrong: Vec<String>,
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Flooded {
    /// What did not hold.
    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken = self.wrong.clone();
        let memory = self.rss.1 as f64 / self.rss.0 as f64;
        if memory >= MEMORY {
            broken.push(format!("memory grew {memory:.2}-fold"));
        }
        let latency = self.under.millis(0.99) / self.calm.millis(0.99);
        if latency.is_nan() || latency > LATENCY {
            broken.push(format!("p99 grew {latency:.1}-fold"));
        }
        for seen in [&self.calm, &self.under] {
            if let Some(first) = seen.failures.first() {
                broken.push(format!("{} calls failed, such as: {first}", seen.failures.len()));
            }
        }
        broken
    }

    fn row(&self) -> String {
        let verdict = verdict(&self.broken());
        let newcomer = match &self.newcomer {
            Ok(millis) => format!("{millis:.0} ms"),
            Err(why) => why.clone(),
        };
        format!(
            "| {} | {} | {:.1} → {:.1} MiB (×{:.2}) | {} + {} | {} / {} | {:.2} → {:.2} ms (×{:.1}) | {newcomer} | {verdict} |",
            self.flood.name(),
            self.deeds,
            mib(self.rss.0),
            mib(self.rss.1),
            self.rss.1 as f64 / self.rss.0 as f64,
            self.calm.calls,
            self.under.calls,
            self.under.failures.len(),
            self.under.retries,
            self.calm.millis(0.99),
            self.under.millis(0.99),
            self.under.millis(0.99) / self.calm.millis(0.99),
        )
    }
}

fn verdict(broken: &[String]) -> String {
    if broken.is_empty() { "held".to_owned() } else { format!("**did not hold**: {}", broken.join("; ")) }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) floods: Vec<Flooded>,
    pub(crate) overload: Option<Overloaded>,
    pub(crate) not_run: Vec<String>,
    pub(crate) about: String,
}

impl Report {
    pub(crate) fn held(&self) -> bool {
        self.floods.iter().all(|flooded| flooded.broken().is_empty())
            && self.overload.as_ref().is_none_or(|overload| overload.broken().is_empty())
    }

    pub(crate) fn table(&self) -> String {
        let mut lines = Vec::new();
        if !self.floods.is_empty() {
            lines.push(
                "| flood | what the attacker did | server's memory, before → most | honest calls, before + under | failed / retried | honest p99, before → under | a new connection's first answer | verdict |"
                    .to_owned(),
            );
            lines.push("|---|---|---|---|---|---|---|---|".to_owned());
            lines.extend(self.floods.iter().map(Flooded::row));
        }
        if let Some(overload) = &self.overload {
            lines.extend(overload_lines(overload));
        }
        lines.extend(self.not_run.iter().map(|why| format!("\nNot run: {why}.")));
        lines.join("\n")
    }

    pub(crate) fn page(&self) -> String {
        include_str!("page.md").replace("{about}", &self.about).replace("{table}", &self.table())
    }
}

fn overload_lines(overload: &Overloaded) -> Vec<String> {
    let broken = overload.broken();
    vec![
        String::new(),
        "| overload | |".to_owned(),
        "|---|---|".to_owned(),
        format!("| the store takes, callers waiting their turn | {:.0} charges/s |", overload.capacity),
        format!("| offered | {:.0} charges/s |", overload.offered),
        format!(
            "| goodput | {:.0} charges/s, {:.0} % of what the store takes |",
            overload.goodput,
            100.0 * overload.goodput / overload.capacity
        ),
        format!("| refused with OVERLOADED and RetryInfo | {} |", overload.refused),
        format!("| other answers | {} |", overload.others.values().sum::<u64>()),
        format!("| median of all answers | {:.1} ms |", overload.median_millis),
        format!("| p99 of those done | {:.0} ms |", overload.done_p99_millis),
        format!("| p99 of those refused | {:.1} ms |", overload.refused_p99_millis),
        format!(
            "| health and balances meanwhile | {} calls, {} failed, p99 {:.1} ms |",
            overload.probes.calls,
            overload.probes.failures.len(),
            overload.probes.millis(0.99)
        ),
        format!(
            "| server's memory, before → most | {:.1} → {:.1} MiB |",
            mib(overload.rss.0),
            mib(overload.rss.1)
        ),
        format!("| verdict | {} |", verdict(&broken)),
    ]
}
