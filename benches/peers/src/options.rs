//! The command line: read by hand, as the other benches do.

use std::path::PathBuf;

pub const USAGE: &str = "\
usage: scripts/bench.sh [--quick] [--rounds N] [--seconds N] [--users N] [--full N] [--only GROUP,…] [--peers] [--out DIRECTORY]

  --quick           2 rounds of 2 s, and no measurement that takes long: about three minutes
  --rounds N        how often every contender has its turn (5)
  --seconds N       how long a turn lasts (6)
  --users N         users that are charged, drawn uniformly (20000)
  --full N          tasks in the tables that are not empty (1000000)
  --only GROUP,…    of: charge, hot, batch, one, sqlite, open, keys, reads, full, sqlite-full, replicas, memory, start,
                    disk, draws, growth
  --peers           beside a ledger that others have made as well: doubleentry
  --out DIRECTORY   writes README.md and the charts there

examples:
  scripts/bench.sh --quick
  scripts/bench.sh --only charge,hot --rounds 3
  scripts/bench.sh --out docs/benchmarks";

/// What the program is to be. The servers beside scrip are this program as well, in processes of their own.
#[derive(Debug)]
pub enum Command {
    Compare(Options),
    Help,
    /// Contender b on this database.
    Naive(String),
    /// Contender d.
    Noop,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// How often every contender has its turn.
    pub rounds: u32,
    /// How long a turn lasts.
    pub seconds: u32,
    /// Users that are charged, drawn uniformly.
    pub users: u32,
    /// Tasks in the tables of the "full" databases.
    pub full: u32,
    /// Whether the measurements that take long are left out.
    pub quick: bool,
    /// Whether others' ledgers are among the contenders.
    pub peers: bool,
    /// Groups of contenders to run; all where it is empty.
    pub only: Vec<String>,
    /// Where the page and its charts go; nowhere but stdout where it is not given.
    pub out: Option<PathBuf>,
}

impl Options {
    const DEFAULT: Self = Self {
        rounds: 5,
        seconds: 6,
        users: 20_000,
        full: 1_000_000,
        quick: false,
        peers: false,
        only: Vec::new(),
        out: None,
    };

    /// Less of everything, for whoever changes something: about three minutes.
    fn quick(self) -> Self {
        Self { rounds: 2, seconds: 2, full: 100_000, quick: true, ..self }
    }

    pub fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == group)
    }
}

pub fn read(words: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut words = words.peekable();
    match words.peek().map(String::as_str) {
        Some("naive") => {
            let url = words.nth(1).ok_or("naive needs a URL")?;
            return Ok(Command::Naive(url));
        }
        Some("noop") => return Ok(Command::Noop),
        _ => {}
    }
    let mut options = Options::DEFAULT;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |value: String, range: std::ops::RangeInclusive<u32>| match value.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("{word}: from {} to {}", range.start(), range.end())),
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--peers" if cfg!(feature = "peers") => options.peers = true,
            "--peers" => {
                return Err(
                    "--peers takes a build with others' code in it: scripts/bench.sh --peers".to_owned()
                );
            }
            "--quick" => options = options.quick(),
            "--rounds" => options.rounds = number(value()?, 1..=50)?,
            "--seconds" => options.seconds = number(value()?, 1..=600)?,
            "--users" => options.users = number(value()?, 1_000..=1_000_000)?,
            "--full" => options.full = number(value()?, 1_000..=100_000_000)?,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--out" => options.out = Some(PathBuf::from(value()?)),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(Command::Compare(options))
}
