//! Every call has an end: the client's `grpc-timeout`, and the server's own maximum.
//!
//! Phases: the header is read (off the grammar: INVALID_ARGUMENT; already over: DEADLINE_EXCEEDED without troubling
//! the handler) → the [`Deadline`] goes into the request's extensions, for handlers to hand on → the handler runs
//! against the clock until its response begins → the response body runs against the stream's clock, and against the
//! drain.
//!
//! An answer that is ready wins over a deadline that passes at the same moment: it tells what happened. On expiry the
//! handler's future is dropped and the client gets DEADLINE_EXCEEDED. What the handler had sent to the engine may
//! still take effect; the message says so.
//!
//! The server's maximum (`max_request_timeout`) bounds the time until the response begins, when a unary call is
//! over. A stream that is still open then has its own maximum (`max_stream_duration`): health and reconciliation are
//! watched for longer than any call should take. The client's deadline bounds both.
//!
//! A drain ends an open stream as soon as it has nothing ready to send, with UNAVAILABLE, so that a client watching
//! for ever does not hold the process up. Health turns NOT_SERVING before that, so its watchers still hear of it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tower::{Layer, Service};

use crate::server::{Shutdown, grpc_timeout, status};

/// Stands for "never" where adding a timeout to now would overflow.
const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 86_400);

/// When the caller of a request stops waiting; in the extensions of every request.
///
/// The earlier of the client's `grpc-timeout` and the server's `max_request_timeout`, on tokio's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline at `instant`, for callers that are no request (tests, jobs).
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left of it; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct DeadlineLayer {
    max_request: Duration,
    max_stream: Duration,
    shutdown: Shutdown,
}

impl DeadlineLayer {
    pub(in crate::server) fn new(max_request: Duration, max_stream: Duration, shutdown: Shutdown) -> Self {
        Self { max_request, max_stream, shutdown }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadlines<S>;

    fn layer(&self, inner: S) -> Deadlines<S> {
        Deadlines { inner, limits: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct Deadlines<S> {
    inner: S,
    limits: DeadlineLayer,
}

impl<S, Q, B> Service<Request<Q>> for Deadlines<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    type Response = Response<BoundedBody<B>>;
    type Error = Infallible;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let now = Instant::now();
        let asked = match grpc_timeout::read(request.headers()) {
            Ok(asked) => asked,
            Err(grpc_timeout::Malformed) => {
                return DeadlineFuture::Refused { status: status::malformed_timeout() };
            }
        };
        let head = Limit::new(now, asked, self.limits.max_request);
        let stream = Limit::new(now, asked, self.limits.max_stream);
        if head.after.is_zero() {
            return DeadlineFuture::Refused { status: head.status() };
        }
        request.extensions_mut().insert(Deadline(head.at));
        DeadlineFuture::Running {
            inner: self.inner.call(request),
            sleep: tokio::time::sleep_until(head.at),
            head,
            stream: Some((stream, self.limits.shutdown.clone())),
        }
    }
}

/// When something must be over, and whose wish that is.
#[derive(Clone, Copy, Debug)]
struct Limit {
    at: Instant,
    after: Duration,
    asked_by_client: bool,
}

impl Limit {
    fn new(now: Instant, asked: Option<Duration>, maximum: Duration) -> Self {
        let (after, asked_by_client) = match asked {
            Some(asked) if asked <= maximum => (asked, true),
            _ => (maximum, false),
        };
        let at = now.checked_add(after).unwrap_or(now + THIRTY_YEARS);
        Self { at, after, asked_by_client }
    }

    fn status(&self) -> Status {
        if self.asked_by_client {
            status::deadline_passed(self.after)
        } else {
            status::server_limit_passed(self.after)
        }
    }
}

pin_project! {
    #[project = DeadlineProjection]
    pub(in crate::server) enum DeadlineFuture<F> {
        Refused { status: Status },
        Running {
            #[pin]
            inner: F,
            #[pin]
            sleep: Sleep,
            head: Limit,
            // Some until the response begins and takes it.
            stream: Option<(Limit, Shutdown)>,
        },
    }
}

impl<F, B> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body,
{
    type Output = Result<Response<BoundedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            DeadlineProjection::Refused { status } => {
                Poll::Ready(Ok(status::only(status, BoundedBody::empty())))
            }
            DeadlineProjection::Running { inner, sleep, head, stream } => {
                if let Poll::Ready(Ok(response)) = inner.poll(cx) {
                    let end = stream.take().map(|(limit, shutdown)| End {
                        limit,
                        shutdown,
                        frames: 0,
                        waiting: None,
                    });
                    return Poll::Ready(Ok(response.map(|inner| BoundedBody { inner: Some(inner), end })));
                }
                ready!(sleep.poll(cx));
                Poll::Ready(Ok(status::only(&head.status(), BoundedBody::empty())))
            }
        }
    }
}

/// What may end a stream before it ends itself.
struct End {
    limit: Limit,
    shutdown: Shutdown,
    /// Frames handed over so far, as far as it matters.
    frames: u8,
    /// Made when the stream first has nothing ready. A unary answer never gets there, so it never pays for it.
    waiting: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl End {
    /// Whether a stream that always has something ready has had its time. The first two frames are not asked: they
    /// may be the message and the status of a unary answer, which is one thing.
    fn overdue(&mut self) -> bool {
        if self.frames < 2 {
            self.frames += 1;
            return false;
        }
        Instant::now() >= self.limit.at
    }

    /// The status to end a stream with that has nothing ready, when its time comes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(end(self.limit, self.shutdown.clone())));
        waiting.as_mut().poll(cx)
    }
}

async fn end(limit: Limit, shutdown: Shutdown) -> Status {
    tokio::select! {
        biased;
        () = shutdown.draining() => status::shutting_down(),
        () = tokio::time::sleep_until(limit.at) => limit.status(),
    }
}

pin_project! {
    pub(in crate::server) struct BoundedBody<B> {
        // None when there is nothing (more) to send.
        #[pin]
        inner: Option<B>,
        end: Option<End>,
    }
}

impl<B> BoundedBody<B> {
    fn empty() -> Self {
        Self { inner: None, end: None }
    }
}

impl<B: Body> Body for BoundedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(end) = this.end else { return inner.poll_frame(cx) };
        let status = if end.overdue() {
            end.limit.status()
        } else if let Poll::Ready(frame) = inner.poll_frame(cx) {
            // Trailers are the stream's own end; no other may follow them.
            if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
                *this.end = None;
            }
            return Poll::Ready(frame);
        } else {
            ready!(end.poll(cx))
        };
        // Dropping the stream tells its producer that nobody listens any more.
        this.inner.set(None);
        Poll::Ready(Some(Ok(Frame::trailers(status::trailers(&status)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
#[path = "deadline_tests.rs"]
mod tests;
