//! W3C trace context: that of callers, which a call's span goes on with, and that of requests to fal.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::SPANS;

/// A call as traces know it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its span; disabled where nothing is exported.
    pub span: Span,
    /// The trace it belongs to: its caller's, or one that begins here; `None` where it has none and nothing is exported.
    pub trace_id: Option<TraceId>,
}

/// A call of this method (`package.Service/Method`) begins: its span goes on with the caller's trace, if it names one.
pub fn begin(method: &str, headers: &HeaderMap) -> Incoming {
    let span = tracing::info_span!(
        target: SPANS,
        parent: None,
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        error.type = Empty,
        scrip.user_id = Empty,
    );
    let trace_id = incoming(headers, &span);
    Incoming { span, trace_id }
}

/// Joins a span to the trace that the headers name; answers the trace it belongs to.
pub fn incoming(headers: &HeaderMap, span: &Span) -> Option<TraceId> {
    let from_caller = headers.contains_key("traceparent").then(|| {
        // A context of no trace at all, rather than of whatever this thread is at.
        TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &Headers(headers))
    });
    let named = from_caller.as_ref().and_then(trace_of);
    if let Some(from_caller) = from_caller
        && !span.is_disabled()
    {
        // Of a span that was not started yet this cannot fail; of one that nobody exports it is of no account.
        let _ = span.set_parent(from_caller);
    }
    trace_id(span).or(named)
}

/// The trace that a span belongs to.
pub fn trace_id(span: &Span) -> Option<TraceId> {
    if span.is_disabled() { None } else { trace_of(&span.context()) }
}

fn trace_of(context: &opentelemetry::Context) -> Option<TraceId> {
    let span = context.span();
    let found = span.span_context();
    found.is_valid().then(|| found.trace_id())
}

/// The number of a trace that begins here, for a call whose caller names none.
pub fn new_trace_id() -> TraceId {
    RandomIdGenerator::default().new_trace_id()
}

/// Names the span that is at work in the headers of a request that it makes.
pub fn enter_headers(headers: &mut HeaderMap) {
    let span = Span::current();
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Outgoing(headers));
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(key.as_bytes()), HeaderValue::from_str(&value))
            // An empty tracestate says nothing.
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_callers_trace_is_known_though_nothing_is_exported() {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(PARENT));
        let began = begin("scrip.v1.BillingService/Charge", &headers);
        assert!(began.span.is_disabled());
        assert_eq!(began.trace_id.unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn what_is_no_trace_context_is_none() {
        for wrong in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-1-2-3"]
        {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_str(wrong).unwrap());
            assert_eq!(begin("x", &headers).trace_id, None, "{wrong}");
        }
    }
}
