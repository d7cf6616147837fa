//! Requests to fal's platform API.

use std::time::Duration;

use opentelemetry::metrics::{Histogram, Meter};

use super::{SECONDS, label};

/// Requests to fal.
#[derive(Clone, Debug)]
pub struct Upstream {
    duration: Histogram<f64>,
}

impl Upstream {
    pub(super) fn new(meter: &Meter) -> Self {
        let duration = meter
            .f64_histogram("http.client.request.duration")
            .with_unit("s")
            .with_description("Requests to fal's platform API, each attempt, by path and status")
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { duration }
    }

    /// An attempt at a path ended with this status, or without one.
    pub fn asked(&self, path: &'static str, status: Result<u16, &'static str>, took: Duration) {
        let mut labels = vec![label("http.request.method", "GET"), label("url.template", path)];
        match status {
            Ok(status) => {
                labels.push(label("http.response.status_code", i64::from(status)));
                if status >= 400 {
                    labels.push(label("error.type", status.to_string()));
                }
            }
            Err(kind) => labels.push(label("error.type", kind)),
        }
        self.duration.record(took.as_secs_f64(), &labels);
    }
}
