//! Logs: where they go, how they look, and that a panic is one of them.
//!
//! Everything goes to stderr: stdout belongs to a command's result. On a terminal an event is a coloured line, to
//! anything else a JSON object, unless `--log-format` says otherwise.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::{CommonArgs, LogFormat};

/// Starts logging and has panics logged. `default_filter` holds where the operator named none.
///
/// # Errors
/// If the filter cannot be read, or logging was started before.
pub fn start(args: &CommonArgs, default_filter: &str) -> Result<(), String> {
    let filter = args.log.as_deref().unwrap_or(default_filter);
    let filter = EnvFilter::builder().parse(filter).map_err(|error| {
        format!("log: {filter:?} is no filter such as info or info,scrip::engine=debug: {error}")
    })?;
    // The driver logs parameters of the database's URL that it does not know, values and all.
    let filter = filter.add_directive("sqlx_postgres::options=off".parse().map_err(|_| "log: not a filter")?);
    let stderr = std::io::stderr();
    let on_terminal = stderr.is_terminal();
    let format = args.log_format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Pretty => {
            builder.compact().with_ansi(on_terminal && crate::cli::colour_wanted()).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| format!("logging could not be started: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic once and lets it unwind: whoever isolates it (the engine a batch, the server a call) goes on.
fn log_panic(panic: &PanicHookInfo<'_>) {
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
