//! One line a call at debug: method, peer, status, latency.
//!
//! The line is written when the record is dropped, so a call is logged whichever way it ends: with a status in its
//! head or its trailers, or "aborted" when the client left or the connection was cut before there was one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::Code;
use tower::{Layer, Service};
use tracing::Level;

use crate::server::{Peer, status};

#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct AccessLogLayer;

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct AccessLog<S> {
    inner: S,
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

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // Off, it costs one check.
        let record = tracing::enabled!(Level::DEBUG).then(|| Record::begin(&request));
        LoggedFuture { inner: self.inner.call(request), record }
    }
}

/// What is known of a call so far; dropping it writes the line.
#[derive(Debug)]
struct Record {
    method: Uri,
    peer: Option<Peer>,
    began: Instant,
    code: Option<Code>,
}

impl Record {
    fn begin<Q>(request: &Request<Q>) -> Self {
        let peer = request.extensions().get::<Peer>().copied();
        Self { method: request.uri().clone(), peer, began: Instant::now(), code: None }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let latency_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let method = self.method.path();
        let peer = self.peer.map(|peer| tracing::field::display(peer.address));
        match self.code {
            Some(code) => tracing::debug!(method, peer, status = ?code, latency_us, "call"),
            None => tracing::debug!(method, peer, status = "aborted", latency_us, "call"),
        }
    }
}

pin_project! {
    pub(in crate::server) struct LoggedFuture<F> {
        #[pin]
        inner: F,
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
        let Ok(response) = ready!(this.inner.poll(cx));
        let mut record = this.record.take();
        if let Some(record) = &mut record {
            record.code = status::code(response.headers());
        }
        Poll::Ready(Ok(response.map(|inner| LoggedBody { inner, record })))
    }
}

pin_project! {
    pub(in crate::server) struct LoggedBody<B> {
        #[pin]
        inner: B,
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
        let frame = ready!(this.inner.poll_frame(cx));
        if let Some(record) = this.record
            && let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            record.code = status::code(trailers);
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
