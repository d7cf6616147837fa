//! The layer alone, on paused time.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Empty, Full};
use tonic::Code;
use tower::{ServiceExt, service_fn};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn layer(max_request: Duration) -> DeadlineLayer {
    DeadlineLayer::new(max_request, HOUR, Shutdown::new())
}

fn request(timeout: &str) -> Request<()> {
    Request::builder().header("grpc-timeout", timeout).body(()).unwrap()
}

fn code(headers: &HeaderMap) -> Option<Code> {
    status::code(headers)
}

#[tokio::test(start_paused = true)]
async fn the_deadline_passes_exactly_when_asked() {
    let began = Instant::now();
    let never =
        service_fn(|_: Request<()>| std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>());
    let got = layer(HOUR).layer(never).oneshot(request("90S")).await.unwrap();
    assert_eq!(code(got.headers()), Some(Code::DeadlineExceeded));
    assert!(got.body().is_end_stream());
    assert_eq!(began.elapsed(), Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn the_servers_maximum_passes_first_and_reaches_the_handler() {
    let began = Instant::now();
    let inner = service_fn(move |request: Request<()>| async move {
        let deadline = request.extensions().get::<Deadline>().copied().unwrap();
        assert_eq!(deadline, Deadline::at(began + Duration::from_secs(60)));
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
    });
    let got = layer(Duration::from_secs(60)).layer(inner).oneshot(request("90S")).await.unwrap();
    assert_eq!(code(got.headers()), Some(Code::DeadlineExceeded));
    assert_eq!(began.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn an_answer_ready_at_the_deadline_wins() {
    let inner = service_fn(|_: Request<()>| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"done"))))
    });
    let got = layer(HOUR).layer(inner).oneshot(request("5S")).await.unwrap();
    assert_eq!(got.into_body().collect().await.unwrap().to_bytes(), "done");
}

#[tokio::test(start_paused = true)]
async fn a_unary_answer_is_whole_even_when_read_after_the_deadline() {
    let inner = service_fn(|_: Request<()>| async {
        let ok = (http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"));
        let frames = [Frame::data(Bytes::from_static(b"done")), Frame::trailers(HeaderMap::from_iter([ok]))];
        Ok::<_, Infallible>(Response::new(Frames { ready: frames.into(), then_pending: false }))
    });
    let got = layer(HOUR).layer(inner).oneshot(request("5S")).await.unwrap();
    tokio::time::sleep(HOUR).await;
    let all = got.into_body().collect().await.unwrap();
    assert_eq!(code(all.trailers().unwrap()), Some(Code::Ok));
    assert_eq!(all.to_bytes(), "done");
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_the_limit_of_a_call_but_not_its_own() {
    let began = Instant::now();
    let inner = service_fn(|_: Request<()>| async {
        let first = Frame::data(Bytes::from_static(b"first"));
        Ok::<_, Infallible>(Response::new(Frames { ready: [first].into(), then_pending: true }))
    });
    let request = Request::new(());
    let got = layer(Duration::from_secs(60)).layer(inner).oneshot(request).await.unwrap();
    let all = got.into_body().collect().await.unwrap();
    assert_eq!(code(all.trailers().unwrap()), Some(Code::DeadlineExceeded));
    assert_eq!(all.to_bytes(), "first");
    assert_eq!(began.elapsed(), HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beyond_the_clock_is_as_good_as_none() {
    let limit = Limit::new(Instant::now(), None, Duration::MAX);
    assert_eq!(limit.at, Instant::now() + THIRTY_YEARS);
}

/// A body of ready frames, and then its end or nothing more.
struct Frames {
    ready: VecDeque<Frame<Bytes>>,
    then_pending: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.ready.pop_front() {
            None if self.then_pending => Poll::Pending,
            frame => Poll::Ready(frame.map(Ok)),
        }
    }
}
