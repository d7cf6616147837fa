//! Calls and the connections they come in on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, Counter, Histogram, Meter, UpDownCounter};

use super::{SECONDS, label};

/// What a method that is not the service's is counted as: callers may ask for any name.
const OTHER: &str = "_OTHER";

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its gRPC code in capitals, such as `OK` or `NOT_FOUND`.
    pub code: &'static str,
    /// Why, of one that was refused: the reason of its ErrorInfo.
    pub reason: Option<&'static str>,
}

impl Ended {
    /// With success.
    pub const OK: Self = Self { code: "OK", reason: None };
    /// Its caller went away, or its connection was cut, before there was an answer.
    pub const ABORTED: Self = Self { code: "CANCELLED", reason: Some("ABORTED") };
}

/// Calls, by method and outcome. Clones are the same.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_on: bool,
    duration: Histogram<f64>,
    active: BoundUpDownCounter<i64>,
    methods: HashMap<String, Method>,
    other: Method,
}

/// One method: what succeeds is counted without looking its labels up.
#[derive(Debug)]
struct Method {
    name: Arc<str>,
    succeeded: BoundHistogram<f64>,
}

impl Calls {
    pub(super) fn new(meter: &Meter, is_on: bool, methods: impl IntoIterator<Item = String>) -> Self {
        let duration = meter
            .f64_histogram("rpc.server.call.duration")
            .with_unit("s")
            .with_description(
                "Calls from their first byte to their last, by method, code and reason of refusal",
            )
            .with_boundaries(SECONDS.to_vec())
            .build();
        let active = meter
            .i64_up_down_counter("scrip.server.active_calls")
            .with_description("Calls that are being served now")
            .build();
        let method = |name: &str| {
            let name: Arc<str> = Arc::from(name);
            let succeeded = duration.bind(&labels(&name, Ended::OK));
            Method { name, succeeded }
        };
        let other = method(OTHER);
        let methods = methods.into_iter().map(|name| (format!("/{name}"), method(&name))).collect();
        Self(Arc::new(Inner { is_on, methods, other, active: active.bind(&[]), duration }))
    }

    /// Whether anybody reads them.
    pub fn is_on(&self) -> bool {
        self.0.is_on
    }

    /// The name of a path's method (`package.Service/Method`), or what all others are called.
    pub fn known(&self, path: &str) -> &str {
        &self.0.methods.get(path).unwrap_or(&self.0.other).name
    }

    /// A call begins.
    pub fn begun(&self) {
        self.0.active.add(1);
    }

    /// A call of this path (`/package.Service/Method`) is over.
    pub fn ended(&self, path: &str, ended: Ended, took: Duration) {
        self.0.active.add(-1);
        let method = self.0.methods.get(path).unwrap_or(&self.0.other);
        let seconds = took.as_secs_f64();
        if ended == Ended::OK {
            method.succeeded.record(seconds);
        } else {
            self.0.duration.record(seconds, &labels(&method.name, ended));
        }
    }
}

fn labels(method: &Arc<str>, ended: Ended) -> Vec<KeyValue> {
    let mut labels = vec![
        label("rpc.system.name", "grpc"),
        label("rpc.method", Arc::clone(method)),
        label("rpc.response.status_code", ended.code),
    ];
    labels.extend(ended.reason.map(|reason| label("error.type", reason)));
    labels
}

/// Which certificate, and when it expires, in seconds since 1970.
type LookAtCertificates = Box<dyn Fn() -> Vec<(&'static str, f64)> + Send + Sync>;

/// Connections of callers.
#[derive(Clone)]
pub struct Connections {
    certificates: Arc<Mutex<Option<LookAtCertificates>>>,
    open: UpDownCounter<i64>,
    accepted: Counter<u64>,
    limit: opentelemetry::metrics::Gauge<u64>,
}

impl Connections {
    pub(super) fn new(meter: &Meter) -> Self {
        let open = meter
            .i64_up_down_counter("scrip.server.connections")
            .with_description("Connections of callers that are open now")
            .build();
        let accepted = meter
            .u64_counter("scrip.server.accepted_connections")
            .with_description("Connections that were accepted")
            .build();
        let limit = meter
            .u64_gauge("scrip.server.connection_limit")
            .with_description("Connections that are served at once; further ones wait to be accepted")
            .build();
        let certificates: Arc<Mutex<Option<LookAtCertificates>>> = Arc::default();
        let looked_at = Arc::clone(&certificates);
        meter
            .f64_observable_gauge("scrip.server.certificate.expiry")
            .with_unit("s")
            .with_description("When the certificates in use expire, in seconds since 1970: the server's, and the first of the clients' authorities")
            .with_callback(move |observer| {
                let look = looked_at.lock().unwrap_or_else(PoisonError::into_inner);
                for (which, seconds) in look.as_ref().map(|look| look()).unwrap_or_default() {
                    observer.observe(seconds, &[label("certificate", which)]);
                }
            })
            .build();
        open.add(0, &[]);
        accepted.add(0, &[]);
        Self { certificates, open, accepted, limit }
    }

    /// Has the certificates in use looked at whenever somebody reads.
    pub fn watch_certificates(&self, look: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(look));
    }

    /// At most so many are served at once.
    pub fn limited(&self, limit: usize) {
        self.limit.record(u64::try_from(limit).unwrap_or(u64::MAX), &[]);
    }

    /// One was accepted; it is over when what is answered is dropped.
    pub fn accepted(&self) -> Open {
        self.accepted.add(1, &[]);
        self.open.add(1, &[]);
        Open(self.open.clone())
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Open(UpDownCounter<i64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}
