//! What the service tells of itself, and where it goes: logs to stderr, metrics to whoever scrapes them, and all of it to
//! an OpenTelemetry collector where one is named.
//!
//! | part | what |
//! |---|---|
//! | `log` | lines on stderr, their level changeable while it runs; panics among them |
//! | `context` | W3C trace context of callers, and towards fal |
//! | `sql` | a span for each statement, under the span that is at work |
//! | `otlp`, `sampling`, `counted` | exporters, each with a bounded queue and a thread of its own; which traces they get; what became of it |
//! | `scrape` | the instruments of [`crate::meter`] as Prometheus reads them |
//!
//! Off, it costs nothing: a span that nobody exports is one load and a branch. On, a collector that is down or silent
//! fills a queue, what comes then is dropped and counted, and a stop waits for it [`LAST_EXPORT`] at most.

mod context;
mod counted;
mod log;
mod otlp;
mod sampling;
mod scrape;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use self::context::{Incoming, begin, enter_headers, incoming, new_trace_id, trace_id};
pub use self::log::LogControl;
use self::otlp::Otlp;
pub use self::scrape::Scrape;
use crate::config::{CommonArgs, TelemetryArgs};
use crate::meter::Meters;
pub use crate::meter::SPANS;

/// How long a stop waits for the last export.
pub const LAST_EXPORT: Duration = Duration::from_secs(1);

/// A layer of the one subscriber.
type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Telemetry of a service that runs. [`Telemetry::end`] it; dropped, what was not yet exported is lost.
pub struct Telemetry {
    log: LogControl,
    meters: Meters,
    scrape: Option<Scrape>,
    provider: Option<SdkMeterProvider>,
    otlp: Option<Otlp>,
}

/// Starts the log of a command that runs for a moment: nothing else is told of it.
///
/// # Errors
/// If the filter cannot be read, or logging was started before.
pub fn start(args: &CommonArgs, default_filter: &str) -> Result<(), String> {
    let (layer, _) = log::stderr(args, default_filter, log::Lines::Waited)?;
    init(vec![layer])
}

/// Starts logs, metrics and traces of the service. `database` is the system's name in OpenTelemetry's words.
///
/// # Errors
/// If an option or a variable of OpenTelemetry's cannot be read, or logging was started before.
pub fn start_service(
    args: &CommonArgs,
    telemetry: &TelemetryArgs,
    database: &'static str,
) -> Result<Telemetry, String> {
    let (line_layer, lines) = log::stderr(args, "info", log::Lines::Handed)?;
    let mut layers = vec![line_layer];
    let mut otlp = Otlp::new(telemetry)?;
    let mut log = lines;
    if let Some(otlp) = &mut otlp {
        layers.extend(otlp.trace_layers(telemetry.trace_ratio, database)?);
        if let Some(layer) = otlp.log_layer(&mut log)? {
            layers.push(layer);
        }
    }
    let scrape = telemetry.admin_listen.map(|_| Scrape::new());
    let reader = match &mut otlp {
        Some(otlp) => otlp.metric_reader()?,
        None => None,
    };
    let provider = (scrape.is_some() || reader.is_some()).then(|| -> Result<SdkMeterProvider, String> {
        let mut builder = SdkMeterProvider::builder().with_resource(otlp::resource());
        if let Some(scrape) = &scrape {
            builder = builder.with_reader(scrape.reader()?);
        }
        if let Some(reader) = reader {
            builder = builder.with_reader(reader);
        }
        Ok(builder.build())
    });
    let provider = provider.transpose()?;
    let meters = provider.as_ref().map_or_else(Meters::off, |provider| Meters::new(provider.meter("scrip")));
    if let Some(otlp) = &otlp {
        otlp.count_with(&meters);
    }
    log.count_with(&meters);
    init(layers)?;
    if let Some(otlp) = &otlp {
        tracing::info!(signals = otlp.signals(), "telemetry is exported over OTLP");
    }
    Ok(Telemetry { log, meters, scrape, provider, otlp })
}

fn init(mut layers: Vec<Layer>) -> Result<(), String> {
    #[cfg(feature = "console")]
    layers.push(Box::new(console_subscriber::ConsoleLayer::builder().with_default_env().spawn()));
    layers.shrink_to_fit();
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| format!("logging could not be started: {error}"))?;
    std::panic::set_hook(Box::new(log::log_panic));
    Ok(())
}

impl Telemetry {
    /// The instruments.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The log's level, to be changed while it runs.
    pub fn log(&self) -> &LogControl {
        &self.log
    }

    /// What Prometheus reads; `None` where there is no admin port.
    pub fn scrape(&self) -> Option<&Scrape> {
        self.scrape.as_ref()
    }

    /// Exports what is left, as far as that takes no longer than [`LAST_EXPORT`], and hands over the last lines.
    pub async fn end(self) {
        let Telemetry { log, provider, otlp, .. } = self;
        let mut ends: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        if let Some(provider) = provider {
            ends.push(Box::new(move || drop(provider.shutdown_with_timeout(LAST_EXPORT))));
        }
        let runtime = otlp.map(|otlp| otlp.end(&mut ends));
        let (done, all_done) = tokio::sync::oneshot::channel::<()>();
        let done = Arc::new(done);
        for end in ends {
            let done = Arc::clone(&done);
            // Apart from the runtime, which would wait for them: they may be stuck in a collector that is silent.
            std::thread::spawn(move || {
                end();
                drop(done);
            });
        }
        drop(done);
        // The sender goes when the last of them is done.
        if tokio::time::timeout(LAST_EXPORT, all_done).await.is_err() {
            tracing::warn!("the last telemetry could not be exported in time and is lost");
        }
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
        log.end();
    }
}
