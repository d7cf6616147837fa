//! The instruments: every figure that the service tells of itself has its name, unit, labels and meaning here.
//!
//! They are OpenTelemetry's, so one set feeds both Prometheus and OTLP; who reads them is `telemetry`'s to say. Rooms
//! are handed [`Meters`] and tell it what happened; where nobody reads, [`Meters::off`] costs a call that does nothing.
//!
//! | kind of figure | where it comes from |
//! |---|---|
//! | what happens (calls, batches, commits, requests to fal) | told as it happens: a bound instrument, a few atomics |
//! | what is now (queues, connections, waiting callers) | asked for when somebody reads |
//! | what only the database knows (holds, accounts, runs) | [`Figures`], put there by a slow sampler, never by a reader |
//!
//! Labels are bounded: methods, codes, reasons, lanes, accounts up to [`MOST_ACCOUNTS`]. Never users, tasks or requests.
//! docs/observability.md lists all of them; a test holds the two together.

mod calls;
mod database;
mod engine;
mod figures;
mod process;
mod trace;
mod upstream;

use std::fmt;
use std::sync::Arc;

use opentelemetry::metrics::{Meter, MeterProvider, NoopMeterProvider};

pub use calls::{Calls, Connections, Ended};
pub use database::{Database, Pool, Statements};
pub use engine::{BatchEnded, Engine, Moved, Queue, Unknown};
pub use figures::{AccountFigure, Figures, MOST_ACCOUNTS, RunFigure, WorkspaceFigure};
pub use trace::{TraceId, Traced, in_trace, trace, traced};
pub use upstream::Upstream;

/// The target of the spans that are exported: every room may make one. No filter of logs lets it through, as lines have
/// no spans; where nothing is exported, making one is a load and a branch.
pub const SPANS: &str = "scrip::trace";

/// Bounds of histograms of time, in seconds: from a charge on a quiet machine to the longest call.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Bounds of histograms of how many.
const MANY: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0];

/// All instruments. Clones are the same ones.
#[derive(Clone)]
pub struct Meters(Arc<Inner>);

struct Inner {
    meter: Meter,
    is_on: bool,
    engine: Engine,
    database: Database,
    upstream: Upstream,
    connections: Connections,
    figures: figures::Sampled,
    telemetry: Telemetry,
}

/// What telemetry tells of itself.
#[derive(Clone, Debug)]
pub struct Telemetry {
    exports: opentelemetry::metrics::Counter<u64>,
    lines: opentelemetry::metrics::Counter<u64>,
}

impl Meters {
    /// Makes all instruments of a meter that somebody reads.
    pub fn new(meter: Meter) -> Self {
        process::watch(&meter);
        Self::made(meter, true)
    }

    /// Instruments that nobody reads.
    pub fn off() -> Self {
        Self::made(NoopMeterProvider::new().meter("scrip"), false)
    }

    fn made(meter: Meter, is_on: bool) -> Self {
        let inner = Inner {
            is_on,
            engine: Engine::new(&meter),
            database: Database::new(&meter),
            upstream: Upstream::new(&meter),
            connections: Connections::new(&meter),
            figures: figures::Sampled::new(&meter),
            telemetry: Telemetry::new(&meter),
            meter,
        };
        Self(Arc::new(inner))
    }

    /// Whether anybody reads: what is costly to find out is then worth it.
    pub fn is_on(&self) -> bool {
        self.0.is_on
    }

    /// The calls of these methods, each as `package.Service/Method`.
    pub fn calls(&self, methods: impl IntoIterator<Item = String>) -> Calls {
        Calls::new(&self.0.meter, self.0.is_on, methods)
    }

    /// Connections of callers.
    pub fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// Queues, batches and what they moved.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The database as the stores see it.
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// Requests to fal.
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// What telemetry tells of itself.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// Puts what the sampler found where readers find it; what it could not find stays as it was.
    pub fn sampled(&self, figures: Figures) {
        self.0.figures.put(figures);
    }
}

impl Telemetry {
    fn new(meter: &Meter) -> Self {
        let exports = meter
            .u64_counter("scrip.telemetry.exports")
            .with_description("Batches handed to the OTLP collector, by signal and outcome (sent, failed)")
            .build();
        let lines = meter
            .u64_counter("scrip.log.dropped")
            .with_description("Lines of the log that were dropped because whoever reads stderr is too slow")
            .build();
        lines.add(0, &[]);
        Self { exports, lines }
    }

    /// A batch of a signal was sent, or was not.
    pub fn exported(&self, signal: &'static str, is_sent: bool) {
        let outcome = if is_sent { "sent" } else { "failed" };
        self.exports.add(1, &[label("signal", signal), label("outcome", outcome)]);
    }

    /// So many lines more were dropped.
    pub fn dropped_lines(&self, lines: u64) {
        self.lines.add(lines, &[]);
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::off()
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("is_on", &self.0.is_on).finish_non_exhaustive()
    }
}

fn label(key: &'static str, value: impl Into<opentelemetry::Value>) -> opentelemetry::KeyValue {
    opentelemetry::KeyValue::new(key, value)
}
