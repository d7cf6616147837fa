//! The admin port: what Prometheus, an orchestrator and an operator ask of a running process, over plain HTTP/1.1.
//!
//! | path | answer |
//! |---|---|
//! | `GET /metrics` | every instrument, in Prometheus' text format |
//! | `GET /healthz` | 200 while the process can answer at all |
//! | `GET /readyz` | 200 while calls may be sent here, else 503 and why |
//! | `GET /log`, `PUT /log` | the log's filter; another one, for this machine alone |
//! | `GET /debug/pprof/profile?seconds=N` | a CPU profile, where it is built in; for this machine alone |
//!
//! It is bounded like the main port: few connections, short headers, a short time for each, one request on each. It has
//! no authentication, so that what changes something is answered to the loopback only, and never to a browser.

#[cfg(feature = "profiling")]
mod profile;
mod sampler;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub use sampler::Sampler;

use crate::server::{Health, Shutdown};
use crate::telemetry::{LogControl, Scrape};

/// Connections served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long a connection may take to say what it wants.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection may last: a profile is the longest that is asked for.
const LONGEST: Duration = Duration::from_secs(90);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Bytes of a filter.
const FILTER_BYTES: usize = 4 << 10;
/// The pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// What the port answers from.
pub struct Admin {
    scrape: Scrape,
    log: LogControl,
    /// Set once the service listens: before, it is not ready.
    health: OnceLock<Health>,
}

impl Admin {
    /// Answers from these; not ready until [`Admin::serves`].
    pub fn new(scrape: Scrape, log: LogControl) -> Arc<Self> {
        Arc::new(Self { scrape, log, health: OnceLock::new() })
    }

    /// From now on `health` says whether it is ready.
    pub fn serves(&self, health: Health) {
        // Once only: a process serves one port.
        let _ = self.health.set(health);
    }

    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (path, method) = (request.uri().path().to_owned(), request.method().clone());
        match (path.as_str(), &method) {
            ("/metrics", &Method::GET) => match self.scrape.text() {
                Ok(text) => {
                    let mut response = plain(StatusCode::OK, text);
                    let content_type = HeaderValue::from_static(Scrape::CONTENT_TYPE);
                    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
                    response
                }
                Err(why) => {
                    tracing::error!(why, "the metrics could not be written");
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "the server's log has the cause\n")
                }
            },
            ("/healthz", &Method::GET | &Method::HEAD) => plain(StatusCode::OK, "ok\n"),
            ("/readyz", &Method::GET | &Method::HEAD) => self.readiness().await,
            ("/log", &Method::GET) => plain(StatusCode::OK, format!("{}\n", self.log.filter())),
            ("/log", &Method::PUT) => self.set_log(peer, request).await,
            #[cfg(feature = "profiling")]
            ("/debug/pprof/profile", &Method::GET) => match refusal_of(peer, &request) {
                None => profile::answer(request.uri().query().unwrap_or_default()).await,
                Some(refusal) => refusal,
            },
            ("/metrics" | "/healthz" | "/readyz" | "/log", _) => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "not a method of this path\n")
            }
            _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz, /readyz and /log\n"),
        }
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        match self.health.get() {
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Some(health) if health.is_serving().await => plain(StatusCode::OK, "ready\n"),
            Some(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "draining, or the database is away\n"),
        }
    }

    async fn set_log(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(refusal) = refusal_of(peer, &request) {
            return refusal;
        }
        let Ok(body) = Limited::new(request.into_body(), FILTER_BYTES).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "a filter has 4096 bytes at most\n");
        };
        let body = body.to_bytes();
        let Ok(filter) = std::str::from_utf8(&body).map(str::trim) else {
            return plain(StatusCode::BAD_REQUEST, "a filter is text\n");
        };
        if filter.is_empty() {
            return plain(StatusCode::BAD_REQUEST, "say a filter such as info or info,scrip::engine=debug\n");
        }
        match self.log.set(filter) {
            Ok(()) => {
                tracing::info!(filter, %peer, "the log's filter was changed");
                plain(StatusCode::OK, format!("{filter}\n"))
            }
            Err(why) => plain(StatusCode::BAD_REQUEST, format!("{why}\n")),
        }
    }
}

/// Refuses what does not come from this machine, and what a browser sends for a page that somebody was lured to.
fn refusal_of<B>(peer: SocketAddr, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    if !peer.ip().to_canonical().is_loopback() {
        return Some(plain(StatusCode::FORBIDDEN, "this is answered to the machine itself alone\n"));
    }
    if request.headers().contains_key(header::ORIGIN) {
        return Some(plain(StatusCode::FORBIDDEN, "this is not for browsers\n"));
    }
    None
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers on this listener until the order to cut, or until it is dropped: a drain is still looked at.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, shutdown: Shutdown) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            () = shutdown.cutting() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (admin, order) = (Arc::clone(&admin), shutdown.clone());
                tokio::spawn(async move {
                    let _slot = slot;
                    tokio::select! {
                        biased;
                        () = order.cutting() => {}
                        _ = tokio::time::timeout(LONGEST, one(stream, peer, admin)) => {}
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the admin port could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection, which is one request.
async fn one(stream: TcpStream, peer: SocketAddr, admin: Arc<Admin>) {
    let answer = service_fn(move |request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::debug!(%peer, %error, "a connection of the admin port ended");
    }
}
