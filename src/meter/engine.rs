//! Queues, batches, and what they moved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Meter};

use super::{MANY, SECONDS, label};

/// A lane's queue, now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queue {
    /// Commands that wait.
    pub commands: u64,
    /// At most so many.
    pub command_limit: u64,
    /// Bytes they keep.
    pub bytes: u64,
    /// At most so many.
    pub byte_limit: u64,
    /// How long the oldest of them has waited, at most.
    pub age: Duration,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnded {
    /// It is stored, or had nothing to store.
    Done,
    /// It was given up; its callers were told.
    Failed,
    /// Its works were then run one by one.
    Poisoned,
}

/// What became of a commit that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is asked for.
    Pursued,
    /// It is known now.
    Resolved,
    /// Its callers heard OUTCOME_UNKNOWN.
    GivenUp,
}

/// Points that one batch moved, by operation and purse: added once a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// For each of `charge`, `capture`, `refund`, `credit`, `debit`, in this order: entries, points, cash points.
    pub by_operation: [(u64, u64, u64); 5],
}

/// The words of [`Moved`], in its order.
const OPERATIONS: [&str; 5] = ["charge", "capture", "refund", "credit", "debit"];

type Look = Box<dyn Fn() -> Queue + Send + Sync>;
type Count = Box<dyn Fn() -> u64 + Send + Sync>;

/// What the engine tells.
#[derive(Clone)]
pub struct Engine {
    wait: BoundHistogram<f64>,
    size: BoundHistogram<u64>,
    /// By outcome: done, failed, poisoned.
    ended: [BoundHistogram<f64>; 3],
    retries: Counter<u64>,
    unknown: Counter<u64>,
    holds_expired: Counter<u64>,
    leases_expired: Counter<u64>,
    entries: [BoundCounter<u64>; 5],
    points: [[BoundCounter<u64>; 2]; 5],
    queues: Arc<Mutex<Vec<Look>>>,
    waiting: Arc<Mutex<Option<Count>>>,
}

impl Engine {
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, meaning: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(meaning);
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        let counter = |name: &'static str, meaning: &'static str| {
            meter.u64_counter(name).with_description(meaning).build()
        };
        let wait = seconds("scrip.queue.wait", "How long commands waited until a batch took them");
        let size = meter
            .u64_histogram("scrip.batch.commands")
            .with_description("Commands that one batch decided")
            .with_boundaries(MANY.to_vec())
            .build();
        let duration = seconds(
            "scrip.batch.duration",
            "Batches from being gathered to being known to be stored, by outcome (done, failed, poisoned)",
        );
        let retries = counter(
            "scrip.batch.retries",
            "Batches that were run again, by why (conflict, widened, unknown)",
        );
        let unknown = counter(
            "scrip.batch.unknown",
            "Commits that were not answered: pursued, and then resolved or given_up (callers hear OUTCOME_UNKNOWN)",
        );
        let holds_expired =
            counter("scrip.holds.expired", "Holds that were released because their time had passed");
        let leases_expired =
            counter("scrip.leases.expired", "Leases that were closed because nobody gave them back in time");
        let entries =
            counter("scrip.ledger.entries", "Entries that were written to the ledger, by operation");
        let points =
            counter("scrip.ledger.points", "Points that entries moved, either way, by operation and purse");
        // What alerts count must be there before it first happens.
        for why in ["conflict", "widened", "unknown"] {
            retries.add(0, &[label("reason", why)]);
        }
        for outcome in ["pursued", "resolved", "given_up"] {
            unknown.add(0, &[label("outcome", outcome)]);
        }
        holds_expired.add(0, &[]);
        leases_expired.add(0, &[]);
        let engine = Self {
            wait: wait.bind(&[]),
            size: size.bind(&[]),
            ended: ["done", "failed", "poisoned"].map(|outcome| duration.bind(&[label("outcome", outcome)])),
            retries,
            unknown,
            holds_expired,
            leases_expired,
            entries: OPERATIONS.map(|operation| entries.bind(&[label("operation", operation)])),
            points: OPERATIONS.map(|operation| {
                ["points", "cash"]
                    .map(|purse| points.bind(&[label("operation", operation), label("purse", purse)]))
            }),
            queues: Arc::default(),
            waiting: Arc::default(),
        };
        engine.moved(&Moved::default());
        engine.watched(meter);
        engine
    }

    /// What is asked for when somebody reads.
    fn watched(&self, meter: &Meter) {
        let gauge = |name: &'static str, unit: &'static str, meaning: &'static str, of: fn(&Queue) -> u64| {
            let queues = Arc::clone(&self.queues);
            let gauge = meter.u64_observable_gauge(name).with_unit(unit).with_description(meaning);
            gauge
                .with_callback(move |observer| {
                    each(&queues, |lane, queue| observer.observe(of(queue), &[lane]))
                })
                .build();
        };
        gauge("scrip.queue.commands", "", "Commands that wait for a batch, by lane", |queue| queue.commands);
        gauge(
            "scrip.queue.command_limit",
            "",
            "Commands that may wait, by lane; above it callers hear OVERLOADED",
            |queue| queue.command_limit,
        );
        gauge("scrip.queue.size", "By", "Bytes that waiting commands keep, by lane", |queue| queue.bytes);
        gauge("scrip.queue.size_limit", "By", "Bytes that waiting commands may keep, by lane", |queue| {
            queue.byte_limit
        });
        let queues = Arc::clone(&self.queues);
        meter
            .f64_observable_gauge("scrip.queue.age")
            .with_unit("s")
            .with_description(
                "How long the oldest waiting command has waited, at most, by lane; 0 where none waits",
            )
            .with_callback(move |observer| {
                each(&queues, |lane, queue| observer.observe(queue.age.as_secs_f64(), &[lane]));
            })
            .build();
        let waiting = Arc::clone(&self.waiting);
        meter
            .u64_observable_gauge("scrip.keys.waiting")
            .with_description("Callers that wait for a fal key")
            .with_callback(move |observer| {
                if let Some(look) = &*waiting.lock().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(look(), &[]);
                }
            })
            .build();
    }

    /// Has a lane's queue looked at whenever somebody reads; lanes are numbered in this order.
    pub fn watch_queue(&self, look: impl Fn() -> Queue + Send + Sync + 'static) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(look));
    }

    /// Has those who wait for a key counted whenever somebody reads.
    pub fn watch_waiting(&self, look: impl Fn() -> u64 + Send + Sync + 'static) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(look));
    }

    /// A command was taken up after so long.
    pub fn waited(&self, wait: Duration) {
        self.wait.record(wait.as_secs_f64());
    }

    /// A batch of so many commands ended after so long.
    pub fn batch(&self, commands: usize, ended: BatchEnded, took: Duration) {
        self.size.record(u64::try_from(commands).unwrap_or(u64::MAX));
        let index = match ended {
            BatchEnded::Done => 0,
            BatchEnded::Failed => 1,
            BatchEnded::Poisoned => 2,
        };
        self.ended[index].record(took.as_secs_f64());
    }

    /// A batch is run again.
    pub fn retried(&self, why: &'static str) {
        self.retries.add(1, &[label("reason", why)]);
    }

    /// A commit was not answered, or what became of it was settled.
    pub fn unknown(&self, unknown: Unknown) {
        let outcome = match unknown {
            Unknown::Pursued => "pursued",
            Unknown::Resolved => "resolved",
            Unknown::GivenUp => "given_up",
        };
        self.unknown.add(1, &[label("outcome", outcome)]);
    }

    /// So many holds were released.
    pub fn expired_holds(&self, holds: usize) {
        self.holds_expired.add(u64::try_from(holds).unwrap_or(u64::MAX), &[]);
    }

    /// So many leases were closed.
    pub fn expired_leases(&self, leases: usize) {
        self.leases_expired.add(u64::try_from(leases).unwrap_or(u64::MAX), &[]);
    }

    /// A batch moved this.
    pub fn moved(&self, moved: &Moved) {
        for (index, (entries, points, cash)) in moved.by_operation.iter().enumerate() {
            self.entries[index].add(*entries);
            self.points[index][0].add(*points);
            self.points[index][1].add(*cash);
        }
    }
}

fn each(queues: &Mutex<Vec<Look>>, mut observe: impl FnMut(opentelemetry::KeyValue, &Queue)) {
    for (lane, look) in (0_i64..).zip(queues.lock().unwrap_or_else(PoisonError::into_inner).iter()) {
        observe(label("lane", lane), &look());
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
