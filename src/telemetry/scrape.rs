//! The instruments as Prometheus reads them: its text format, made when it is asked for.

use prometheus::{Encoder, Registry, TextEncoder};

/// What is scraped. Clones are the same.
#[derive(Clone, Debug)]
pub struct Scrape {
    registry: Registry,
}

impl Scrape {
    pub(super) fn new() -> Self {
        Self { registry: Registry::new() }
    }

    /// What the provider of the instruments is made with.
    pub(super) fn reader(&self) -> Result<opentelemetry_prometheus::PrometheusExporter, String> {
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(self.registry.clone())
            .without_target_info()
            .scope_info_enabled(false);
        exporter.build().map_err(|error| format!("metrics cannot be set up: {error}"))
    }

    /// All metrics in Prometheus' text format. Asks no database.
    ///
    /// # Errors
    /// If the instruments contradict each other: a bug.
    pub fn text(&self) -> Result<String, String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).map_err(|error| error.to_string())?;
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    /// Its media type.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";
}
