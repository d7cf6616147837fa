//! Exports over OTLP. Each signal has a bounded queue and a thread of its own (the SDK's); connections are made on a
//! runtime of their own as well: a collector that is silent holds up nobody but them.
//!
//! What the exporters log themselves is never exported: only lines and spans of scrip are.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::Layer as _;

use super::counted::{Counted, Counting};
use super::log::LogControl;
use super::sampling::{AsRequests, sampler};
use super::sql::{self, SqlSpans};
use super::{LAST_EXPORT, Layer, SPANS};
use crate::clock::System;
use crate::config::{OtlpProtocol, Signals, TelemetryArgs};
use crate::meter::Meters;

/// How long an export may take, if OTEL_EXPORTER_OTLP_TIMEOUT does not say.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Links of one span: as many as a batch has commands by default, and then some.
const MOST_LINKS: u32 = 4_096;

/// The way to a collector.
pub(super) struct Otlp {
    endpoint: Option<String>,
    protocol: Option<OtlpProtocol>,
    signals: Signals,
    runtime: tokio::runtime::Runtime,
    counting: Counting,
    tracer: Option<SdkTracerProvider>,
    logger: Option<SdkLoggerProvider>,
}

/// A signal, in the words of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// A variable of this signal alone, or the one of all; an empty one is as good as none.
    fn variable(self, what: &str) -> Option<String> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", self.name().to_uppercase());
        variable(&own).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    /// Whether the environment rules it out.
    fn is_ruled_out(self) -> bool {
        variable(&format!("OTEL_{}_EXPORTER", self.name().to_uppercase())).is_some_and(|word| word == "none")
    }
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Otlp {
    /// `None` where no collector is named, neither by an option nor in the environment.
    pub(super) fn new(args: &TelemetryArgs) -> Result<Option<Self>, String> {
        if variable("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let is_on = |wanted: bool, signal: Signal| {
            wanted
                && !signal.is_ruled_out()
                && (args.otlp_endpoint.is_some() || signal.variable("ENDPOINT").is_some())
        };
        let signals = Signals {
            traces: is_on(args.otlp_signals.traces, Signal::Traces),
            metrics: is_on(args.otlp_signals.metrics, Signal::Metrics),
            logs: is_on(args.otlp_signals.logs, Signal::Logs),
        };
        if signals == (Signals { traces: false, metrics: false, logs: false }) {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(|error| format!("no thread for telemetry: {error}"))?;
        Ok(Some(Self {
            endpoint: args.otlp_endpoint.clone(),
            protocol: args.otlp_protocol,
            signals,
            runtime,
            counting: Counting::default(),
            tracer: None,
            logger: None,
        }))
    }

    /// What is sent, for people.
    pub(super) fn signals(&self) -> String {
        let Signals { traces, metrics, logs } = self.signals;
        let all = [(traces, "traces"), (metrics, "metrics"), (logs, "logs")];
        all.into_iter().filter_map(|(is_on, name)| is_on.then_some(name)).collect::<Vec<_>>().join(",")
    }

    /// Has exports counted.
    pub(super) fn count_with(&self, meters: &Meters) {
        self.counting.with(meters);
    }

    /// Spans, and statements below them.
    pub(super) fn trace_layers(
        &mut self,
        ratio: Option<f64>,
        database: &'static str,
    ) -> Result<Vec<Layer>, String> {
        if !self.signals.traces {
            return Ok(Vec::new());
        }
        let exporter = match self.way(Signal::Traces)? {
            Way::Grpc(endpoint) => {
                let builder = opentelemetry_otlp::SpanExporter::builder().with_tonic();
                let _on = self.runtime.enter();
                endpoint.into_iter().fold(builder, WithExportConfig::with_endpoint).build()
            }
            Way::Http(endpoint, client) => {
                let builder =
                    opentelemetry_otlp::SpanExporter::builder().with_http().with_http_client(client);
                endpoint.into_iter().fold(builder, WithExportConfig::with_endpoint).build()
            }
        };
        let exporter =
            Counted { inner: built(exporter)?, signal: Signal::Traces, counting: self.counting.clone() };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_sampler(AsRequests(sampler(ratio)?))
            .with_max_links_per_span(MOST_LINKS)
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("scrip");
        self.tracer = Some(provider);
        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            .with_filter(filter_fn(is_traced))
            .boxed();
        let statements =
            SqlSpans { tracer, system: database }.with_filter(filter_fn(sql::is_statement)).boxed();
        Ok(vec![spans, statements])
    }

    /// Lines of the log.
    pub(super) fn log_layer(&mut self, log: &mut LogControl) -> Result<Option<Layer>, String> {
        if !self.signals.logs {
            return Ok(None);
        }
        let exporter = match self.way(Signal::Logs)? {
            Way::Grpc(endpoint) => {
                let builder = opentelemetry_otlp::LogExporter::builder().with_tonic();
                let _on = self.runtime.enter();
                endpoint.into_iter().fold(builder, WithExportConfig::with_endpoint).build()
            }
            Way::Http(endpoint, client) => {
                let builder = opentelemetry_otlp::LogExporter::builder().with_http().with_http_client(client);
                endpoint.into_iter().fold(builder, WithExportConfig::with_endpoint).build()
            }
        };
        let exporter =
            Counted { inner: built(exporter)?, signal: Signal::Logs, counting: self.counting.clone() };
        let provider =
            SdkLoggerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
        let filter = log.follower::<Registry>()?.and(filter_fn(is_exported_line));
        let layer = OpenTelemetryTracingBridge::new(&provider).with_filter(filter).boxed();
        self.logger = Some(provider);
        Ok(Some(layer))
    }

    /// What reads the instruments and sends them.
    pub(super) fn metric_reader(
        &mut self,
    ) -> Result<Option<PeriodicReader<impl PushMetricExporter>>, String> {
        if !self.signals.metrics {
            return Ok(None);
        }
        let exporter = match self.way(Signal::Metrics)? {
            Way::Grpc(endpoint) => {
                let builder = opentelemetry_otlp::MetricExporter::builder().with_tonic();
                let _on = self.runtime.enter();
                endpoint.into_iter().fold(builder, WithExportConfig::with_endpoint).build()
            }
            Way::Http(endpoint, client) => {
                let builder =
                    opentelemetry_otlp::MetricExporter::builder().with_http().with_http_client(client);
                endpoint.into_iter().fold(builder, WithExportConfig::with_endpoint).build()
            }
        };
        let exporter =
            Counted { inner: built(exporter)?, signal: Signal::Metrics, counting: self.counting.clone() };
        Ok(Some(PeriodicReader::builder(exporter).build()))
    }

    /// Adds what ends the exporters, each within [`LAST_EXPORT`]; the runtime is for after them.
    pub(super) fn end(self, ends: &mut Vec<Box<dyn FnOnce() + Send>>) -> tokio::runtime::Runtime {
        if let Some(tracer) = self.tracer {
            ends.push(Box::new(move || drop(tracer.shutdown_with_timeout(LAST_EXPORT))));
        }
        if let Some(logger) = self.logger {
            ends.push(Box::new(move || drop(logger.shutdown_with_timeout(LAST_EXPORT))));
        }
        self.runtime
    }

    /// How a signal gets to the collector; `None` for an endpoint that the environment names.
    fn way(&self, signal: Signal) -> Result<Way, String> {
        let protocol = match self.protocol {
            Some(protocol) => protocol,
            None => match signal.variable("PROTOCOL").as_deref() {
                Some("grpc") => OtlpProtocol::Grpc,
                Some("http/protobuf") | None => OtlpProtocol::Http,
                Some(_) => {
                    return Err("OTEL_EXPORTER_OTLP_PROTOCOL: expected grpc or http/protobuf".to_owned());
                }
            },
        };
        Ok(match protocol {
            OtlpProtocol::Grpc => Way::Grpc(self.endpoint.clone()),
            OtlpProtocol::Http => {
                let path = |base: &String| format!("{}/v1/{}", base.trim_end_matches('/'), signal.name());
                Way::Http(self.endpoint.as_ref().map(path), client(signal)?)
            }
        })
    }
}

/// How to get there, and where, unless the environment says.
enum Way {
    Grpc(Option<String>),
    Http(Option<String>, reqwest::blocking::Client),
}

fn built<E, F: fmt::Display>(exporter: Result<E, F>) -> Result<E, String> {
    exporter.map_err(|error| format!("otlp-endpoint: the exporter cannot be made: {error}"))
}

/// A client with every limit set. It blocks its exporter's own thread, and is made on another: it may not be made on one
/// of a runtime.
fn client(signal: Signal) -> Result<reqwest::blocking::Client, String> {
    let millis = signal.variable("TIMEOUT").and_then(|millis| millis.parse().ok());
    let timeout = millis.map_or(EXPORT_TIMEOUT, Duration::from_millis);
    let certificate = signal.variable("CERTIFICATE");
    let make = move || {
        let tls = tls(certificate.as_deref())?;
        reqwest::blocking::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout)
            .build()
            .map_err(|_| "the client for telemetry cannot be made".to_owned())
    };
    let made = std::thread::spawn(make).join();
    made.unwrap_or_else(|_| Err("the client for telemetry cannot be made".to_owned()))
}

/// TLS as elsewhere in scrip: rustls over ring. Trusts the machine's certificates, or the file's alone.
fn tls(certificate: Option<&str>) -> Result<rustls::ClientConfig, String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let mut roots = rustls::RootCertStore::empty();
    match certificate {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let refused = |what: String| format!("OTEL_EXPORTER_OTLP_CERTIFICATE: {what}");
            let found = CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| refused(error.to_string()))?;
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("no TLS can be set up for telemetry: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Who speaks: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have the last word.
pub(super) fn resource() -> Resource {
    static RESOURCE: OnceLock<Resource> = OnceLock::new();
    let make = || {
        let named = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let is_named =
            |key: &str| named.split(',').any(|pair| pair.trim_start().starts_with(&format!("{key}=")));
        let mut builder = Resource::builder();
        if variable("OTEL_SERVICE_NAME").is_none() && !is_named("service.name") {
            builder = builder.with_service_name("scrip");
        }
        for (key, value) in [
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", uuid::Uuid::from_bytes(System::secret_bytes()).to_string()),
        ] {
            if !is_named(key) {
                builder = builder.with_attribute(KeyValue::new(key, value));
            }
        }
        builder.build()
    };
    RESOURCE.get_or_init(make).clone()
}

/// Spans that scrip made for export, and what went wrong meanwhile.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        metadata.target() == SPANS
    } else {
        *metadata.level() <= tracing::Level::WARN && is_ours(metadata.target())
    }
}

/// Lines of scrip alone: an exporter that exported what its own connection says would never come to an end.
fn is_exported_line(metadata: &Metadata<'_>) -> bool {
    !metadata.is_span() && is_ours(metadata.target())
}

fn is_ours(target: &str) -> bool {
    target == "scrip" || target.starts_with("scrip::")
}
