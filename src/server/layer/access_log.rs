//! What is told of each call once it is over: a line at info, a measurement, and the end of its span.
//!
//! All of it is told when the record is dropped, so whichever way a call ends: with a status in its head or its
//! trailers, or aborted, when the client left or the connection was cut before there was one. The line is of target
//! `scrip::access`, so that it can be silenced alone: `--log info,scrip::access=off`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::Code;
use tower::{Layer, Service};
use tracing::Level;

use crate::meter::{Calls, Ended, TraceId, in_trace};
use crate::server::{Peer, status};
use crate::telemetry::{Incoming, begin, new_trace_id};

/// The target of the lines.
const TARGET: &str = "scrip::access";

/// What the guard and a handler tell of a call, in the extensions of its request where anybody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Note(Option<Arc<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    user_id: AtomicI64,
    actor: OnceLock<Arc<str>>,
}

impl Note {
    /// Notes whose call it is. 0 is nobody.
    pub fn user(&self, user_id: i64) {
        if let Some(noted) = &self.0 {
            noted.user_id.store(user_id, Ordering::Relaxed);
        }
    }

    /// Notes who makes it, let in or not.
    pub(in crate::server) fn actor(&self, name: &Arc<str>) {
        if let Some(noted) = &self.0 {
            noted.actor.get_or_init(|| Arc::clone(name));
        }
    }

    /// One that somebody reads.
    fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    fn user_id(&self) -> Option<i64> {
        self.0.as_ref().map(|noted| noted.user_id.load(Ordering::Relaxed)).filter(|user_id| *user_id != 0)
    }

    fn noted_actor(&self) -> Option<&str> {
        self.0.as_ref()?.actor.get().map(|name| &**name)
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct AccessLogLayer {
    calls: Calls,
}

impl AccessLogLayer {
    /// `calls` counts them, and knows their names.
    pub(in crate::server) const fn new(calls: Calls) -> Self {
        Self { calls }
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, calls: self.calls.clone() }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct AccessLog<S> {
    inner: S,
    calls: Calls,
}

impl<S, Q, B> Service<Request<Q>> for AccessLog<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    type Response = Response<LoggedBody<B>>;
    type Error = Infallible;
    type Future = LoggedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let (trace, record) = Record::begin(&mut request, &self.calls);
        let inner = in_span(trace, record.as_ref(), || self.inner.call(request));
        LoggedFuture { inner, trace, record }
    }
}

/// What is known of a call so far; dropping it tells.
#[derive(Debug)]
struct Record {
    method: Uri,
    peer: Option<Peer>,
    incoming: Incoming,
    note: Note,
    trace_id: TraceId,
    began: Instant,
    ended: Ended,
    calls: Calls,
}

impl Record {
    /// `None` where nobody wants to know: that costs a few loads. The trace is known either way, for lines of its failures.
    fn begin<Q>(request: &mut Request<Q>, calls: &Calls) -> (TraceId, Option<Self>) {
        // Of a method that is nobody's, the caller's words name no span.
        let incoming = begin(calls.known(request.uri().path()), request.headers());
        let trace_id = incoming.trace_id.unwrap_or_else(new_trace_id);
        let is_logged = tracing::enabled!(target: TARGET, Level::INFO);
        if !calls.is_on() && incoming.span.is_disabled() && !is_logged {
            return (trace_id, None);
        }
        calls.begun();
        let note = Note::kept();
        request.extensions_mut().insert(note.clone());
        let record = Self {
            method: request.uri().clone(),
            peer: request.extensions().get::<Peer>().copied(),
            trace_id,
            incoming,
            note,
            began: Instant::now(),
            ended: Ended::ABORTED,
            calls: calls.clone(),
        };
        (trace_id, Some(record))
    }

    /// Takes the status from a head or from trailers, if there is one.
    fn hear(&mut self, headers: &HeaderMap) {
        match status::code(headers) {
            None => {}
            Some(Code::Ok) => self.ended = Ended::OK,
            Some(code) => {
                self.ended = Ended { code: status::name(code), reason: status::reason(headers) };
            }
        }
    }

    fn end_span(&self, user_id: Option<i64>) {
        let span = &self.incoming.span;
        if span.is_disabled() {
            return;
        }
        span.record("rpc.response.status_code", self.ended.code);
        if let Some(reason) = self.ended.reason {
            span.record("error.type", reason);
        }
        if let Some(user_id) = user_id {
            span.record("scrip.user_id", user_id);
        }
        // What the caller got wrong is no failure of this service.
        if matches!(
            self.ended.code,
            "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
        ) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.calls.ended(self.method.path(), self.ended, took);
        let user_id = self.note.user_id();
        self.end_span(user_id);
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // In its span: a line that is exported names the trace by itself.
        let _in_span = self.incoming.span.enter();
        tracing::info!(
            target: TARGET,
            trace_id = %self.trace_id,
            method = self.method.path().strip_prefix('/').unwrap_or_default(),
            actor = self.note.noted_actor(),
            user_id,
            peer = self.peer.map(|peer| tracing::field::display(peer.address)),
            code = self.ended.code,
            reason = self.ended.reason,
            latency_us,
            "call"
        );
    }
}

pin_project! {
    pub(in crate::server) struct LoggedFuture<F> {
        #[pin]
        inner: F,
        trace: TraceId,
        record: Option<Record>,
    }
}

impl<F, B> Future for LoggedFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body,
{
    type Output = Result<Response<LoggedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        let trace = *this.trace;
        let polled = in_span(trace, this.record.as_ref(), || inner.poll(cx));
        let Ok(response) = ready!(polled);
        let mut record = this.record.take();
        if let Some(record) = &mut record {
            record.hear(response.headers());
        }
        Poll::Ready(Ok(response.map(|inner| LoggedBody { inner, trace, record })))
    }
}

pin_project! {
    pub(in crate::server) struct LoggedBody<B> {
        #[pin]
        inner: B,
        trace: TraceId,
        record: Option<Record>,
    }
}

impl<B: Body> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let inner = this.inner;
        let frame = ready!(in_span(*this.trace, this.record.as_ref(), || inner.poll_frame(cx)));
        if let Some(record) = this.record
            && let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            record.hear(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn in_span<T>(trace: TraceId, record: Option<&Record>, run: impl FnOnce() -> T) -> T {
    in_trace(Some(trace), || match record {
        Some(record) => record.incoming.span.in_scope(run),
        None => run(),
    })
}
