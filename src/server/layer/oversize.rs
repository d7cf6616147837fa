//! A message above the limit is RESOURCE_EXHAUSTED, as gRPC's other implementations have it and clients expect.
//!
//! tonic answers OUT_OF_RANGE. Only that very refusal is translated, told by tonic's wording, which a test through a
//! real client pins; an OUT_OF_RANGE that a handler means stays what it is.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::server::status;

/// How tonic 0.14 begins the message of its refusal (`tonic/src/codec/decode.rs`).
const WORDING: &str = "Error, decoded message length too large: found ";

#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct OversizeLayer;

impl<S> Layer<S> for OversizeLayer {
    type Service = Oversize<S>;

    fn layer(&self, inner: S) -> Oversize<S> {
        Oversize { inner }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct Oversize<S> {
    inner: S,
}

impl<S, Q, B> Service<Request<Q>> for Oversize<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = OversizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        OversizeFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    pub(in crate::server) struct OversizeFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B> Future for OversizeFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(self.project().inner.poll(cx));
        if status::code(response.headers()) == Some(Code::OutOfRange) {
            translate(&mut response);
        }
        Poll::Ready(Ok(response))
    }
}

/// Rewrites the head; the body of such an answer is empty already.
fn translate<B>(response: &mut Response<B>) {
    let Some(found) = Status::from_header_map(response.headers()) else { return };
    let Some(sizes) = found.message().strip_prefix(WORDING) else { return };
    let mut numbers =
        sizes.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse::<u64>().ok());
    let refusal = status::message_too_large(numbers.next(), numbers.next());
    status::put(&refusal, response.headers_mut());
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn translated(status: &Status) -> Status {
        let mut response = status::only(status, ());
        translate(&mut response);
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn tonics_refusal_is_translated_with_its_figures() {
        let tonic = Status::out_of_range(format!("{WORDING}20 bytes, the limit is: 10 bytes"));
        let status = translated(&tonic);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "MESSAGE_TOO_LARGE");
        assert_eq!(
            (info.metadata["found_bytes"].as_str(), info.metadata["limit_bytes"].as_str()),
            ("20", "10")
        );
    }

    #[test]
    fn a_handlers_own_out_of_range_is_left_alone() {
        let own = Status::out_of_range("page 9 of 3");
        let status = translated(&own);
        assert_eq!((status.code(), status.message()), (Code::OutOfRange, "page 9 of 3"));
    }
}
