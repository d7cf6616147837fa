//! The database as the stores see it: how long statements take, and the connections that read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::{BoundHistogram, Gauge, Histogram, Meter};

use super::{SECONDS, label};

/// Connections of a pool, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// In use.
    pub used: u64,
    /// Open and free.
    pub idle: u64,
    /// At most so many.
    pub max: u64,
}

type Look = Box<dyn Fn() -> Pool + Send + Sync>;

/// What the stores tell.
#[derive(Clone)]
pub struct Database {
    duration: Histogram<f64>,
    up: Gauge<u64>,
    pools: Arc<Mutex<Vec<Look>>>,
}

/// How long the statements of one store take.
#[derive(Clone, Debug)]
pub struct Statements {
    commit: BoundHistogram<f64>,
    read: BoundHistogram<f64>,
}

impl Database {
    pub(super) fn new(meter: &Meter) -> Self {
        let duration = meter
            .f64_histogram("db.client.operation.duration")
            .with_unit("s")
            .with_description("Statements: COMMIT of a batch (durable when it returns), SELECT of a reader")
            .with_boundaries(SECONDS.to_vec())
            .build();
        let up = meter
            .u64_gauge("scrip.database.up")
            .with_description("Whether the database answered when it was last asked: 1 or 0")
            .build();
        let pools: Arc<Mutex<Vec<Look>>> = Arc::default();
        let looks = Arc::clone(&pools);
        let look = move || -> Vec<Pool> {
            looks.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|look| look()).collect()
        };
        let look = Arc::new(look);
        let of_count = Arc::clone(&look);
        meter
            .u64_observable_gauge("db.client.connection.count")
            .with_description("Connections of the readers' pool, by state")
            .with_callback(move |observer| {
                for pool in of_count() {
                    for (state, count) in [("used", pool.used), ("idle", pool.idle)] {
                        let state = label("db.client.connection.state", state);
                        observer.observe(count, &[label("db.client.connection.pool.name", "readers"), state]);
                    }
                }
            })
            .build();
        meter
            .u64_observable_gauge("db.client.connection.max")
            .with_description("Connections that the readers' pool holds at most")
            .with_callback(move |observer| {
                for pool in look() {
                    observer.observe(pool.max, &[label("db.client.connection.pool.name", "readers")]);
                }
            })
            .build();
        Self { duration, up, pools }
    }

    /// The statements of a store of this system: `sqlite` or `postgresql`.
    pub fn statements(&self, system: &'static str) -> Statements {
        let bind = |operation: &'static str| {
            let system = label("db.system.name", system);
            self.duration.bind(&[system, label("db.operation.name", operation)])
        };
        Statements { commit: bind("COMMIT"), read: bind("SELECT") }
    }

    /// Has a pool looked at whenever somebody reads.
    pub fn watch(&self, look: impl Fn() -> Pool + Send + Sync + 'static) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(look));
    }

    /// Whether the database answered.
    pub fn is_up(&self, is_up: bool) {
        self.up.record(is_up.into(), &[]);
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Statements {
    /// Of a store that nobody measures.
    pub fn off() -> Self {
        super::Meters::off().database().statements("none")
    }

    /// A batch was committed, or was not, after so long.
    pub fn committed(&self, took: Duration) {
        self.commit.record(took.as_secs_f64());
    }

    /// A reader had its answer after so long.
    pub fn read(&self, took: Duration) {
        self.read.record(took.as_secs_f64());
    }
}
