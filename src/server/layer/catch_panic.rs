//! A panic in a handler, or in the stream it answered with, becomes INTERNAL for that call alone.
//!
//! Without this the call's task would die and its client see a reset stream, which reads as a network fault and
//! invites retries. The panic is logged here, once, with the method; the process's panic hook adds where it was.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::meter;
use crate::server::status;

#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct CatchPanicLayer;

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic { inner }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct CatchPanic<S> {
    inner: S,
}

impl<S, Q, B> Service<Request<Q>> for CatchPanic<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    type Response = Response<CatchPanicBody<B>>;
    type Error = Infallible;
    type Future = CatchPanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let method = request.uri().clone();
        // A generated server's `call` only builds a future, but a hand-written service may run code in it.
        let inner = catching(&method, || self.inner.call(request));
        CatchPanicFuture { inner: inner.ok(), method }
    }
}

/// The panic has been caught and logged.
struct Panicked;

/// `AssertUnwindSafe`: what panicked is never touched again but to be dropped, and what handlers share is behind
/// channels and locks that survive a panic or report it.
fn catching<T>(method: &Uri, run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let trace_id = meter::trace().map(tracing::field::display);
        tracing::error!(trace_id, method = method.path(), panic = text(&*payload), "a handler panicked");
        Panicked
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

pin_project! {
    pub(in crate::server) struct CatchPanicFuture<F> {
        // None when the call itself panicked.
        #[pin]
        inner: Option<F>,
        method: Uri,
    }
}

impl<F, B> Future for CatchPanicFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body,
{
    type Output = Result<Response<CatchPanicBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = match this.inner.as_pin_mut() {
            Some(inner) => catching(this.method, || inner.poll(cx)),
            None => Err(Panicked),
        };
        let Ok(polled) = polled else {
            return Poll::Ready(Ok(status::only(&status::internal(), CatchPanicBody::default())));
        };
        let Ok(response) = ready!(polled);
        let method = std::mem::take(this.method);
        Poll::Ready(Ok(response.map(|inner| CatchPanicBody { inner: Some(inner), method })))
    }
}

pin_project! {
    pub(in crate::server) struct CatchPanicBody<B> {
        // None when there is nothing (more) to send.
        #[pin]
        inner: Option<B>,
        method: Uri,
    }
}

impl<B> Default for CatchPanicBody<B> {
    /// Nothing to send.
    fn default() -> Self {
        Self { inner: None, method: Uri::default() }
    }
}

impl<B: Body> Body for CatchPanicBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match catching(this.method, || inner.poll_frame(cx)) {
            Ok(polled) => polled,
            Err(Panicked) => {
                this.inner.set(None);
                Poll::Ready(Some(Ok(Frame::trailers(status::trailers(&status::internal())))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
