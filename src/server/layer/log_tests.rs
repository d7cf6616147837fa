//! What the layers write to the log.

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use super::access_log::{AccessLogLayer, Note};
use super::catch_panic::CatchPanicLayer;
use crate::meter::Meters;
use crate::server::status;

/// Takes this thread's log while the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture(level: Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn request() -> Request<()> {
    Request::builder().uri("/scrip.v1.BillingService/Charge").body(()).unwrap()
}

fn refusing() -> Response<Empty<Bytes>> {
    status::only(&status::malformed_timeout(), Empty::new())
}

fn access_log() -> AccessLogLayer {
    AccessLogLayer::new(Meters::off().calls(["scrip.v1.BillingService/Charge".to_owned()]))
}

#[tokio::test]
async fn a_call_is_one_line_with_trace_method_user_outcome_and_latency() {
    let (log, _guard) = Log::capture(Level::INFO);
    let service = service_fn(|request: Request<()>| async move {
        request.extensions().get::<Note>().unwrap().user(42);
        Ok::<_, Infallible>(refusing())
    });
    let mut request = request();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    let response = access_log().layer(service).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "trace_id=0af7651916cd43dd8448eb211c80319c",
        "method=\"scrip.v1.BillingService/Charge\"",
        "user_id=42",
        "code=\"INVALID_ARGUMENT\"",
        "reason=\"INVALID_FIELD\"",
        "latency_us=",
    ] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
}

#[tokio::test]
async fn a_call_given_up_is_logged_as_aborted() {
    let (log, _guard) = Log::capture(Level::INFO);
    let never = service_fn(|request: Request<()>| {
        request.extensions().get::<Note>().unwrap().actor(&"checkout".into());
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
    });
    let call = access_log().layer(never).oneshot(request());
    tokio::select! {
        biased;
        _ = call => unreachable!("it never answers"),
        () = tokio::task::yield_now() => {}
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["ABORTED", "CANCELLED", "actor=\"checkout\""] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
}

#[tokio::test]
async fn a_call_without_a_trace_is_given_one_which_lines_in_its_course_name_too() {
    async fn later(_: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
        tokio::task::yield_now().await;
        panic!("later")
    }
    let (log, _guard) = Log::capture(Level::INFO);
    let service = CatchPanicLayer.layer(service_fn(later));
    for _ in 0..2 {
        let response = access_log().layer(service.clone()).oneshot(request()).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    let traces: Vec<String> = log.lines().iter().map(|line| trace_of(line)).collect();
    assert_eq!(traces.len(), 4, "{traces:?}");
    assert!(traces[0] == traces[1] && traces[2] == traces[3] && traces[0] != traces[2], "{traces:?}");
}

fn trace_of(line: &str) -> String {
    let after = line.split_once("trace_id=").unwrap_or_else(|| panic!("no trace: {line}")).1;
    let id = after.split(' ').next().unwrap().to_owned();
    assert_eq!(id.len(), 32, "{line}");
    id
}

#[tokio::test]
async fn below_info_calls_are_not_logged() {
    let (log, _guard) = Log::capture(Level::WARN);
    let service = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(refusing()) });
    access_log().layer(service).oneshot(request()).await.unwrap();
    assert_eq!(log.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_panic_is_logged_once_with_its_method_wherever_it_happens() {
    async fn later(_: Request<()>) -> Result<Response<Empty<Bytes>>, Infallible> {
        panic!("later")
    }
    fn at_once(_: Request<()>) -> std::future::Ready<Result<Response<Empty<Bytes>>, Infallible>> {
        panic!("at once")
    }
    let (log, _guard) = Log::capture(Level::INFO);
    let first = CatchPanicLayer.layer(service_fn(later)).oneshot(request()).await.unwrap();
    let second = CatchPanicLayer.layer(service_fn(at_once)).oneshot(request()).await.unwrap();
    for response in [&first, &second] {
        assert_eq!(status::code(response.headers()), Some(tonic::Code::Internal));
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("later") && lines[1].contains("at once"), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("BillingService/Charge")), "{lines:?}");
}
