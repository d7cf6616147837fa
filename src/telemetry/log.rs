//! Logs: where they go, how they look, how their level is changed, and that a panic is one of them.
//!
//! Everything goes to stderr: stdout belongs to a command's result. On a terminal an event is a coloured line, to
//! anything else a JSON object, unless `--log-format` says otherwise. The service hands its lines to a thread of their
//! own: where whoever reads stderr is too slow, lines are dropped and counted, and nothing waits.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::Layer as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::Layer;
use crate::config::{CommonArgs, LogFormat};
use crate::meter::Meters;

/// Lines that wait for stderr; further ones are dropped.
const WAITING_LINES: usize = 16_384;
/// How often dropped lines are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How lines get to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Whoever logs waits until the line is written.
    Waited,
    /// A thread of their own writes them.
    Handed,
}

type Reload = Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The log's filter, to be changed while the service runs. Clones are the same.
#[derive(Clone)]
pub struct LogControl {
    filters: Arc<Mutex<Vec<Reload>>>,
    text: Arc<Mutex<String>>,
    dropped: Option<ErrorCounter>,
    /// Writes what is left when it is dropped.
    writer: Arc<Mutex<Option<WorkerGuard>>>,
}

impl LogControl {
    /// The filter that holds now.
    pub fn filter(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has another filter hold from now on, such as `debug` or `info,scrip::engine=debug`.
    ///
    /// # Errors
    /// If it cannot be read; then the old one holds.
    pub fn set(&self, text: &str) -> Result<(), String> {
        // Read once for each place it goes to: a filter is no value that can be copied.
        let mut now = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        for reload in self.filters.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            reload(parse(text)?)?;
        }
        text.clone_into(&mut now);
        Ok(())
    }

    /// A filter that follows this one.
    pub(super) fn follower<S>(&mut self) -> Result<reload::Layer<EnvFilter, S>, String>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (filter, handle) = reload::Layer::new(parse(&self.filter())?);
        let reload = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        self.filters.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(reload));
        Ok(filter)
    }

    /// Has the lines counted that are dropped.
    pub(super) fn count_with(&self, meters: &Meters) {
        let Some(dropped) = self.dropped.clone().filter(|_| meters.is_on()) else { return };
        let meters = meters.clone();
        tokio::spawn(async move {
            let mut counted = 0;
            loop {
                tokio::time::sleep(COUNT_EVERY).await;
                let now = dropped.dropped_lines();
                meters.telemetry().dropped_lines(u64::try_from(now - counted).unwrap_or_default());
                counted = now;
            }
        });
    }

    /// Writes the lines that still wait; takes about a second at most.
    pub(super) fn end(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").field("filter", &self.filter()).finish_non_exhaustive()
    }
}

/// The layer that writes to stderr, and what changes its level.
pub(super) fn stderr(
    args: &CommonArgs,
    default_filter: &str,
    lines: Lines,
) -> Result<(Layer, LogControl), String> {
    let text = args.log.as_deref().unwrap_or(default_filter);
    let mut control = LogControl {
        filters: Arc::default(),
        text: Arc::new(Mutex::new(text.to_owned())),
        dropped: None,
        writer: Arc::default(),
    };
    let on_terminal = std::io::stderr().is_terminal();
    let writer = match lines {
        Lines::Waited => BoxMakeWriter::new(std::io::stderr),
        Lines::Handed => {
            let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(true);
            let (writer, guard) = builder.thread_name("log").finish(std::io::stderr());
            control.dropped = Some(writer.error_counter());
            *control.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
            BoxMakeWriter::new(writer)
        }
    };
    let format = args.log_format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    // Lines carry no spans: those are for export alone, and cost nothing where nothing is exported.
    // (What only asks whether a line would be written is neither span nor event.)
    let events = filter_fn(|metadata| !metadata.is_span()).with_max_level_hint(LevelFilter::TRACE);
    let filter = control.follower::<Registry>()?.and(events);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer: Layer = match format {
        LogFormat::Pretty => {
            let colours = on_terminal && crate::cli::colour_wanted();
            layer.compact().with_ansi(colours).with_filter(filter).boxed()
        }
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed()
        }
    };
    Ok((layer, control))
}

/// Reads a filter. What no operator can want is left out, whatever it says.
fn parse(text: &str) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::builder().parse(text).map_err(|error| {
        format!("log: {text:?} is no filter such as info or info,scrip::engine=debug: {error}")
    })?;
    // The driver logs parameters of the database's URL that it does not know, values and all.
    let mut silent = vec!["sqlx_postgres::options=off"];
    // A collector that is away would have its exporter say so for every batch; scrip says it once a minute.
    if !text.contains("opentelemetry") {
        silent.extend(["opentelemetry=off", "opentelemetry_sdk=off", "opentelemetry-otlp=off"]);
    }
    for directive in silent {
        filter = filter.add_directive(directive.parse().map_err(|_| "log: not a filter")?);
    }
    Ok(filter)
}

/// Logs a panic once and lets it unwind: whoever isolates it (the engine a batch, the server a call) goes on.
pub(super) fn log_panic(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("a value that is no text");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(place, backtrace, "panic: {what}");
    } else {
        // A command that logs nothing must not die without a word.
        eprintln!("panic: {what} ({place}); please report it\n{backtrace}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> LogControl {
        LogControl {
            filters: Arc::default(),
            text: Arc::new(Mutex::new("info".to_owned())),
            dropped: None,
            writer: Arc::default(),
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_leaves_the_old_one() {
        let mut control = control();
        let _followed: reload::Layer<EnvFilter, Registry> = control.follower().unwrap();
        assert!(control.set("info,scrip::engine=loud").unwrap_err().contains("no filter such as"));
        assert_eq!(control.filter(), "info");
    }

    #[test]
    fn the_driver_and_exporters_stay_silent_unless_asked_for_by_name() {
        let all = parse("trace").unwrap().to_string();
        assert!(all.contains("sqlx_postgres::options=off") && all.contains("opentelemetry_sdk=off"), "{all}");
        let asked = parse("info,opentelemetry_sdk=debug").unwrap().to_string();
        assert!(
            asked.contains("opentelemetry_sdk=debug") && !asked.contains("opentelemetry_sdk=off"),
            "{asked}"
        );
    }
}
