//! Exporters whose exports are counted, and whose failures are complained of now and then.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::time::Instant;

use super::otlp::Signal;
use crate::meter::Meters;

/// How often a collector that is away is complained of.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What exports are counted with, once there is something.
#[derive(Clone, Default)]
pub(super) struct Counting {
    meters: Arc<OnceLock<Meters>>,
    complained: Arc<Mutex<Option<Instant>>>,
}

impl Counting {
    /// Counts with these from now on.
    pub(super) fn with(&self, meters: &Meters) {
        // Once only: there is one service in a process.
        let _ = self.meters.set(meters.clone());
    }

    fn ended(&self, signal: Signal, is_sent: bool) {
        if let Some(meters) = self.meters.get() {
            meters.telemetry().exported(signal.name(), is_sent);
        }
        if is_sent {
            return;
        }
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            // Without the exporter's words: they hold the URL.
            tracing::warn!(
                signal = signal.name(),
                "telemetry could not be exported and is lost; --log info,opentelemetry-otlp=debug shows why"
            );
        }
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting").finish_non_exhaustive()
    }
}

/// An exporter whose exports are counted.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) inner: E,
    pub(super) signal: Signal,
    pub(super) counting: Counting,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let ended = self.inner.export(batch).await;
        self.counting.ended(self.signal, ended.is_ok());
        ended
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let ended = self.inner.export(batch).await;
        self.counting.ended(self.signal, ended.is_ok());
        ended
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let ended = self.inner.export(metrics).await;
        self.counting.ended(self.signal, ended.is_ok());
        ended
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
