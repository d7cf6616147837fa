//! The options: each is declared once, here, and has three spellings: a flag, an environment variable and a key of
//! the optional TOML file (`--drain-timeout`, `SCRIP_DRAIN_TIMEOUT`, `drain_timeout`). A test holds the spellings
//! together; [`parse`] decides which value wins. One secret has a variable alone: `SCRIP_KEK` (see [`KekArgs`]).
//!
//! Defaults are those of the part an option belongs to (engine, limits, server), so that a library user and an
//! operator get the same.

mod kek;
mod layers;
mod reconcile;
mod security;
mod telemetry;
mod thresholds;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, RangedI64ValueParser, RangedU64ValueParser};
use clap::{Args, ValueEnum};

pub use kek::KekArgs;
pub use layers::{ConfigError, parse};
pub use reconcile::{AuditArgs, DecimalRate, FalArgs, ScheduleArgs};
pub use security::{AuthMode, SecurityArgs, SecurityPlan};
pub use telemetry::{OtlpProtocol, Signals, TelemetryArgs};
pub use thresholds::ThresholdArgs;
pub use values::{DatabaseUrl, HumanDuration, Scheme};

use crate::engine;
use crate::ledger::Limits;
use crate::server::{ServerOptions, parse_listen};

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// TOML file with any of the options; flags and environment variables win over it
    ///
    /// Its keys are the options' names with _ for -, such as database_url = "sqlite:///var/lib/scrip/scrip.db". A key
    /// that no command knows is refused.
    #[arg(long, env = "SCRIP_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// What to log: a level (error, warn, info, debug, trace) or a filter such as info,scrip::engine=debug
    ///
    /// Logs go to stderr. `serve` logs at info by default; other commands say what went wrong in their own words and
    /// log nothing unless asked to.
    #[arg(long, env = "SCRIP_LOG", value_name = "FILTER", global = true)]
    pub log: Option<String>,

    /// How to write the log; by default pretty on a terminal, json otherwise
    #[arg(long, env = "SCRIP_LOG_FORMAT", value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: one line an event, coloured on a terminal.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// Where the ledger is.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The database: sqlite://PATH or postgres://USER@HOST:PORT/NAME
    ///
    /// Every user of this machine can read a command line: a URL with a password is taken from SCRIP_DATABASE_URL or from
    /// database_url in the --config file, and refused here.
    #[arg(
        long,
        env = "SCRIP_DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite://scrip.db",
        hide_env_values = true
    )]
    pub database_url: DatabaseUrl,
}

/// Where the server listens.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Address the server listens on; port 0 takes any free one
    #[arg(
        long,
        env = "SCRIP_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:50051",
        value_parser = parse_listen
    )]
    pub listen: SocketAddr,
}

/// How commands that show rows write them.
#[derive(Args, Clone, Debug)]
pub struct FormatArgs {
    /// How to write the result: an aligned table for people, or one JSON object a line
    #[arg(long, env = "SCRIP_FORMAT", value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// One JSON object a line.
    Json,
}

/// How the engine works.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Engine options")]
pub struct EngineArgs {
    /// Writers, each with a database connection of its own; users are spread over them [default: 2 on PostgreSQL, so that
    /// one decides while the other commits; SQLite: always 1]
    #[arg(
        long,
        env = "SCRIP_LANES",
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=64)
    )]
    pub lanes: Option<usize>,

    /// Commands that may wait for a commit, a lane; above that callers hear OVERLOADED at once
    #[arg(
        long,
        env = "SCRIP_QUEUE_ITEMS",
        value_name = "N",
        default_value_t = engine::Options::default().queue_items,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000)
    )]
    pub queue_items: usize,

    /// How long a command may have to wait for a commit; who would wait longer hears OVERLOADED at once
    #[arg(
        long,
        env = "SCRIP_MAX_QUEUE_WAIT",
        value_name = "DURATION",
        default_value_t = HumanDuration(engine::Options::default().queue_wait)
    )]
    pub max_queue_wait: HumanDuration,

    /// Bytes that waiting commands may keep in memory, a lane
    #[arg(
        long,
        env = "SCRIP_QUEUE_BYTES",
        value_name = "BYTES",
        default_value_t = engine::Options::default().queue_bytes,
        value_parser = RangedU64ValueParser::<usize>::new().range(1_048_576..=4_294_967_295)
    )]
    pub queue_bytes: usize,

    /// Commands gathered into one commit at most
    #[arg(
        long,
        env = "SCRIP_MAX_COMMIT_ITEMS",
        value_name = "N",
        default_value_t = engine::Options::default().batch_items,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000)
    )]
    pub max_commit_items: usize,

    /// How long a commit whose answer was lost is pursued before its callers hear OUTCOME_UNKNOWN
    #[arg(
        long,
        env = "SCRIP_RESOLVE_FOR",
        value_name = "DURATION",
        default_value_t = HumanDuration(engine::Options::default().resolve_for)
    )]
    pub resolve_for: HumanDuration,
}

/// What callers may send.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Highest amount of one charge or hold, in points
    #[arg(
        long,
        env = "SCRIP_MAX_CHARGE_POINTS",
        value_name = "POINTS",
        default_value_t = Limits::default().max_charge_points,
        value_parser = RangedI64ValueParser::<i64>::new().range(1..)
    )]
    pub max_charge_points: i64,

    /// Bytes of input_params and of output_params
    #[arg(
        long,
        env = "SCRIP_MAX_JSON_BYTES",
        value_name = "BYTES",
        default_value_t = Limits::default().max_json_bytes,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=16_777_216)
    )]
    pub max_json_bytes: usize,

    /// Charges in one BatchCharge
    #[arg(
        long,
        env = "SCRIP_MAX_BATCH_ITEMS",
        value_name = "N",
        default_value_t = Limits::default().max_batch_items,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000)
    )]
    pub max_batch_items: usize,

    /// How long a hold lasts if its caller does not say
    #[arg(
        long,
        env = "SCRIP_DEFAULT_HOLD_TTL",
        value_name = "DURATION",
        default_value_t = HumanDuration::from_micros(Limits::default().default_hold_micros)
    )]
    pub default_hold_ttl: HumanDuration,

    /// How long a hold may last
    #[arg(
        long,
        env = "SCRIP_MAX_HOLD_TTL",
        value_name = "DURATION",
        default_value_t = HumanDuration::from_micros(Limits::default().max_hold_micros)
    )]
    pub max_hold_ttl: HumanDuration,
}

/// Bounds of the listening side.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server options")]
pub struct ServerArgs {
    /// Connections served at once; further ones wait to be accepted. Fewer where the process may open too few files
    #[arg(
        long,
        env = "SCRIP_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = ServerOptions::default().max_connections,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000)
    )]
    pub max_connections: usize,

    /// Calls in flight on one connection
    #[arg(
        long,
        env = "SCRIP_MAX_CONCURRENT_STREAMS",
        value_name = "N",
        default_value_t = ServerOptions::default().max_concurrent_streams,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_concurrent_streams: u32,

    /// How long a new connection may stay silent before it is closed
    #[arg(
        long,
        env = "SCRIP_FIRST_BYTE_TIMEOUT",
        value_name = "DURATION",
        default_value_t = HumanDuration(ServerOptions::default().first_byte_timeout)
    )]
    pub first_byte_timeout: HumanDuration,

    /// How long the TLS handshake of a new connection may take
    #[arg(
        long,
        env = "SCRIP_TLS_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value_t = HumanDuration(ServerOptions::default().tls_handshake_timeout)
    )]
    pub tls_handshake_timeout: HumanDuration,

    /// How long a call may take, whatever deadline its client set
    #[arg(
        long,
        env = "SCRIP_MAX_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value_t = HumanDuration(ServerOptions::default().max_request_timeout)
    )]
    pub max_request_timeout: HumanDuration,

    /// Age at which a connection is asked to come back, so that load spreads over new replicas [default: never]
    #[arg(long, env = "SCRIP_MAX_CONNECTION_AGE", value_name = "DURATION")]
    pub max_connection_age: Option<HumanDuration>,

    /// How long a stop may take: calls in flight are answered until then, what is left is cut
    #[arg(
        long,
        env = "SCRIP_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value_t = HumanDuration(ServerOptions::default().drain_timeout)
    )]
    pub drain_timeout: HumanDuration,
}

/// Whether `serve` prepares the database itself.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Do not create or migrate the database: refuse to start unless it is ready
    #[arg(long, env = "SCRIP_NO_MIGRATE", value_parser = BoolishValueParser::new())]
    pub no_migrate: bool,

    /// Serve a PostgreSQL that may lose what it acknowledged: fsync, full_page_writes or synchronous_commit off
    #[arg(long, env = "SCRIP_ALLOW_UNSAFE_DATABASE", value_parser = BoolishValueParser::new())]
    pub allow_unsafe_database: bool,
}

impl EngineArgs {
    /// The engine's options under these limits, with so many lanes where it was not said.
    pub fn options(&self, limits: Limits, lanes: usize) -> engine::Options {
        engine::Options {
            limits,
            queue_items: self.queue_items,
            queue_bytes: self.queue_bytes,
            queue_wait: self.max_queue_wait.0,
            batch_items: self.max_commit_items,
            lanes: self.lanes.unwrap_or(lanes),
            resolve_for: self.resolve_for.0,
            ..engine::Options::default()
        }
    }
}

impl LimitArgs {
    /// The limits.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn limits(&self) -> Result<Limits, String> {
        if self.default_hold_ttl.0 > self.max_hold_ttl.0 {
            return Err(format!(
                "default-hold-ttl ({}) must not be longer than max-hold-ttl ({})",
                self.default_hold_ttl, self.max_hold_ttl
            ));
        }
        if self.default_hold_ttl.0.is_zero() {
            return Err("default-hold-ttl must be above zero".to_owned());
        }
        Ok(Limits {
            max_charge_points: self.max_charge_points,
            max_json_bytes: self.max_json_bytes,
            max_batch_items: self.max_batch_items,
            default_hold_micros: self.default_hold_ttl.micros(),
            max_hold_micros: self.max_hold_ttl.micros(),
            ..Limits::default()
        })
    }
}

impl ServerArgs {
    /// The server's options.
    ///
    /// # Errors
    /// If the server could not serve with them.
    pub fn options(&self) -> Result<ServerOptions, String> {
        let options = ServerOptions {
            max_connections: self.max_connections,
            max_concurrent_streams: self.max_concurrent_streams,
            first_byte_timeout: self.first_byte_timeout.0,
            tls_handshake_timeout: self.tls_handshake_timeout.0,
            max_request_timeout: self.max_request_timeout.0,
            max_connection_age: self.max_connection_age.map(|HumanDuration(age)| age),
            drain_timeout: self.drain_timeout.0,
            ..ServerOptions::default()
        };
        options
            .validate()
            .map_err(|refused| format!("{} {}", refused.name.replace('_', "-"), refused.rule))?;
        Ok(options)
    }
}
