//! What all calls together may keep in memory of messages that have not arrived whole.
//!
//! A message is gathered before it is decoded, and a client may begin thousands and end none. Each call's first
//! [`FREE`] bytes are not counted, so that small calls get through whatever large ones do; what is above comes out of
//! one budget for the whole process, and goes back when the message is decoded or given up. A call that finds the
//! budget empty is OVERLOADED: it was not tried.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::codegen::StdError;
use tower::{Layer, Service};

use crate::server::status;

/// Bytes of a call that are not counted: most calls are far smaller.
const FREE: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(in crate::server) struct IntakeLayer {
    left: Arc<AtomicUsize>,
}

impl IntakeLayer {
    pub(in crate::server) fn new(budget_bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(budget_bytes)) }
    }
}

impl<S> Layer<S> for IntakeLayer {
    type Service = Intake<S>;

    fn layer(&self, inner: S) -> Intake<S> {
        Intake { inner, left: Arc::clone(&self.left) }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct Intake<S> {
    inner: S,
    left: Arc<AtomicUsize>,
}

impl<S, Q> Service<Request<Q>> for Intake<S>
where
    S: Service<Request<Counted<Q>>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let taken = Taken { left: Arc::clone(&self.left), received: 0, taken: 0 };
        self.inner.call(request.map(|inner| Counted { inner, taken }))
    }
}

/// What one call took out of the budget; dropped, it goes back.
#[derive(Debug)]
struct Taken {
    left: Arc<AtomicUsize>,
    received: usize,
    taken: usize,
}

impl Taken {
    /// Whether so many bytes more fit.
    fn take(&mut self, bytes: usize) -> bool {
        self.received = self.received.saturating_add(bytes);
        let more = self.received.saturating_sub(FREE).saturating_sub(self.taken);
        let fits = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more))
            .is_ok();
        if fits {
            self.taken += more;
        }
        fits
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

pin_project! {
    /// A request's body that is counted as it arrives.
    pub(in crate::server) struct Counted<B> {
        #[pin]
        inner: B,
        taken: Taken,
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.project();
        let frame = match ready!(this.inner.poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if bytes > 0 && !this.taken.take(bytes) {
            // tonic answers with a status that comes out of a body as it is.
            return Poll::Ready(Some(Err(Box::new(status::too_much_at_once()))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::*;

    #[tokio::test]
    async fn a_body_above_the_budget_ends_in_overloaded() {
        let left = Arc::new(AtomicUsize::new(100));
        let body = |bytes: usize| Counted {
            inner: Full::new(Bytes::from(vec![0; bytes])),
            taken: Taken { left: Arc::clone(&left), received: 0, taken: 0 },
        };
        assert_eq!(body(FREE + 100).collect().await.unwrap().to_bytes().len(), FREE + 100);
        let error = body(FREE + 101).collect().await.unwrap_err();
        let status = error.downcast::<Status>().unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_error_info().unwrap().reason, "OVERLOADED");
        assert!(status.get_details_retry_info().is_some());
        assert!(body(FREE).collect().await.is_ok(), "a small call gets through");
    }

    #[test]
    fn what_a_call_took_goes_back_and_small_calls_take_nothing() {
        let left = Arc::new(AtomicUsize::new(1_000));
        let call = || Taken { left: Arc::clone(&left), received: 0, taken: 0 };
        let mut large = call();
        assert!(large.take(FREE) && large.take(600));
        assert_eq!(left.load(Ordering::Relaxed), 400);
        let mut other = call();
        assert!(other.take(FREE), "a small call gets through");
        assert!(!other.take(401));
        drop(other);
        assert_eq!(left.load(Ordering::Relaxed), 400);
        drop(large);
        assert_eq!(left.load(Ordering::Relaxed), 1_000);
    }
}
