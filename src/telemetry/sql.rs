//! A span for each statement, below the span that runs it.
//!
//! The driver tells of each statement when it is over, with its text, which holds no values, and the time it took. This
//! layer makes a span of that. It listens only where traces are exported; the driver forms no text otherwise.

use std::fmt;
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{self, Layer};

/// Where the driver tells of statements, and how loudly.
const TARGET: &str = "sqlx::query";
const LEVEL: Level = Level::DEBUG;

/// A statement's text is cut after so many bytes.
const MOST_BYTES: usize = 4_096;

/// Whether an event tells of a statement.
pub(super) fn is_statement(metadata: &Metadata<'_>) -> bool {
    !metadata.is_span() && metadata.target() == TARGET && *metadata.level() <= LEVEL
}

/// Makes spans of statements.
pub(super) struct SqlSpans {
    pub(super) tracer: SdkTracer,
    /// The system's name in OpenTelemetry's words.
    pub(super) system: &'static str,
}

impl<S: Subscriber> Layer<S> for SqlSpans {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let parent = Context::current();
        if !parent.span().span_context().is_sampled() {
            return;
        }
        let mut statement = Statement::default();
        event.record(&mut statement);
        let text = statement.text();
        let operation = operation(text);
        let end = opentelemetry::time::now();
        let start = end.checked_sub(statement.elapsed).unwrap_or(end);
        let attributes = vec![
            KeyValue::new("db.system.name", self.system),
            KeyValue::new("db.operation.name", operation.clone()),
            KeyValue::new("db.query.text", cut(text).to_owned()),
            KeyValue::new("db.response.returned_rows", statement.rows),
        ];
        let builder = self.tracer.span_builder(operation).with_kind(SpanKind::Client);
        let builder = builder.with_start_time(start).with_attributes(attributes);
        self.tracer.build_with_context(builder, &parent).end_with_timestamp(end);
    }
}

/// What the driver tells.
#[derive(Default)]
struct Statement {
    summary: String,
    whole: String,
    elapsed: Duration,
    rows: i64,
}

impl Statement {
    /// A short statement is its own summary.
    fn text(&self) -> &str {
        let whole = self.whole.trim();
        if whole.is_empty() { self.summary.trim() } else { whole }
    }
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = i64::try_from(value).unwrap_or(i64::MAX);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The first word of a statement that is no comment, in capitals.
fn operation(text: &str) -> String {
    let words = text.lines().map(str::trim).filter(|line| !line.starts_with("--"));
    let first = words.flat_map(str::split_whitespace).next().unwrap_or("statement");
    first.to_uppercase()
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_what_it_does_and_not_by_its_comment() {
        assert_eq!(
            operation("-- Open holds, longest overdue first.\n-- More.\nselect t.user_id FROM x"),
            "SELECT"
        );
        assert_eq!(operation("COMMIT"), "COMMIT");
        assert_eq!(operation("  \n"), "STATEMENT");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "é".repeat(MOST_BYTES);
        assert_eq!(cut(&long).len(), MOST_BYTES);
        assert!(cut(&format!("x{long}")).len() < MOST_BYTES);
    }
}
