//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::flood::Flood;

/// Flood scrip, and see what an honest client of it notices
///
/// Exit code 0: everything held; 1: something did not; 2: it could not run.
#[derive(Clone, Debug, Parser)]
#[command(name = "floods")]
pub(crate) struct Options {
    /// How long each flood goes on, in seconds
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,

    /// How long the same client is measured without a flood before each
    #[arg(long, default_value_t = 20)]
    pub(crate) calm: u64,

    /// Calls of the honest client, a second
    #[arg(long, default_value_t = 100)]
    pub(crate) honest_rate: u32,

    /// Charges a second that the database of overload is slowed down to; five times as many are offered
    #[arg(long, default_value_t = 1_000)]
    pub(crate) overload_cap: u32,

    /// Only these; all by default
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Flood>,

    /// The server under the floods
    #[arg(long, env = "SCRIP_BIN", default_value = env!("CARGO_BIN_EXE_scrip"))]
    pub(crate) scrip: PathBuf,

    /// Where the page goes
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,

    /// Keep the servers' logs in this folder
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,

    /// Measure what a collector of telemetry that is stopped costs, and flood nothing
    #[arg(long)]
    pub(crate) telemetry: bool,

    /// Be that collector
    #[arg(long, hide = true)]
    pub(crate) collect: bool,

    /// Be the attacker: what the harness starts itself as, so that attacker and honest client share no process
    #[arg(long, hide = true, requires = "target")]
    pub(crate) attack: Option<Flood>,

    /// Whom the attacker attacks
    #[arg(long, hide = true)]
    pub(crate) target: Option<SocketAddr>,
}

impl Options {
    pub(crate) fn chosen(&self) -> Vec<Flood> {
        if self.only.is_empty() { Flood::ALL.to_vec() } else { self.only.clone() }
    }

    /// How to run the same again.
    pub(crate) fn command(&self) -> String {
        let mut command = format!("scripts/proof.sh floods --seconds {}", self.seconds);
        if self.overload_cap != 1_000 {
            command.push_str(&format!(" (overload: {} a second)", self.overload_cap));
        }
        if !self.only.is_empty() {
            let names: Vec<&str> = self.only.iter().map(|flood| flood.name()).collect();
            command.push_str(&format!(" --only {}", names.join(",")));
        }
        command
    }
}
