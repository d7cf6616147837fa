//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Postgres,
    Sqlite,
}

impl std::fmt::Display for StoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        })
    }
}

/// Torture scrip: real servers, a real database, faults, and checkers that look for a lost or doubled point
///
/// Exit code 0: nothing was found; 1: violations; 2: it is not known, or it could not run.
#[derive(Clone, Debug, Parser)]
#[command(name = "torture")]
pub(crate) struct Options {
    /// How long the faults go on
    #[arg(long, default_value_t = 1.0)]
    pub(crate) minutes: f64,

    /// What the workload and the faults are drawn from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// What the servers keep their books in
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: StoreKind,

    /// Servers on the one database
    #[arg(long, default_value_t = 1)]
    pub(crate) replicas: usize,

    /// Callers at once
    #[arg(long, default_value_t = 32)]
    pub(crate) clients: u32,

    /// The mean pause of a caller between two calls, in milliseconds
    #[arg(long, default_value_t = 50)]
    pub(crate) pause: u64,

    /// The binary under torture
    #[arg(long, default_value = env!("CARGO_BIN_EXE_scrip"))]
    pub(crate) scrip: PathBuf,

    /// Where the report goes: PATH.md and PATH.html
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,

    /// Keep the history and the logs of the run in this folder
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,

    /// Only these faults, such as replica-kill,commit-cut; all by default
    #[arg(long, value_delimiter = ',')]
    pub(crate) faults: Vec<String>,
}

impl Options {
    /// The faults to be made.
    pub(crate) fn faults(&self) -> Result<Vec<Fault>, String> {
        if self.replicas == 0 || (self.store == StoreKind::Sqlite && self.replicas > 1) {
            return Err("--replicas is 1 with SQLite, which has one writer, and 1 or more else".to_owned());
        }
        if self.faults.iter().any(|name| name == "none") {
            return Ok(Vec::new());
        }
        let known = |name: &String| Fault::ALL.into_iter().find(|fault| fault.name() == name);
        if self.faults.is_empty() {
            return Ok(Fault::ALL.to_vec());
        }
        self.faults.iter().map(|name| known(name).ok_or(format!("no such fault: {name}"))).collect()
    }

    /// How to run the same again.
    pub(crate) fn command(&self) -> String {
        let mut command = format!(
            "scripts/torture.sh --minutes {} --seed {} --store {} --replicas {}",
            self.minutes, self.seed, self.store, self.replicas
        );
        if self.clients != 32 {
            command.push_str(&format!(" --clients {}", self.clients));
        }
        if self.pause != 50 {
            command.push_str(&format!(" --pause {}", self.pause));
        }
        if !self.faults.is_empty() {
            command.push_str(&format!(" --faults {}", self.faults.join(",")));
        }
        command
    }
}
