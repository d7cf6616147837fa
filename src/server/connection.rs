//! One connection, from its first byte to its last.
//!
//! Phases: **preface** (bounded by `first_byte_timeout`; a drain ends it at once, as no call can be lost) →
//! **serving** (hyper's HTTP/2 with every limit set) → **leaving** (GOAWAY sent because of a drain or the
//! connection's age: calls in flight are answered, new ones refused) → **over**, or **cut** when the order comes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::StdError;
use tower::Service;

use super::preface::{self, NoPreface, Prefaced};
use super::tls::Presented;
use super::{ServerOptions, Shutdown};

/// Who is at the other end of the connection a call came in on; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address as the socket tells it.
    pub address: SocketAddr,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It never became HTTP/2: closed, timed out, or another protocol. Nobody waits for an answer on it.
    Unborn,
    /// Either side closed it with nothing left to answer.
    Over,
    /// Closed by the order to cut, with calls unanswered or the peer not answering.
    Cut,
}

/// Waits for the first bytes of a connection; `None` if they do not come, or are no HTTP/2.
pub(super) async fn preface<Io>(
    io: Io,
    peer: Peer,
    options: &ServerOptions,
    shutdown: &Shutdown,
) -> Option<Prefaced<Io>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let preface = tokio::select! {
        biased;
        () = shutdown.draining() => return None,
        preface = tokio::time::timeout(options.first_byte_timeout, preface::read(io)) => preface,
    };
    match preface {
        Ok(Ok(io)) => return Some(io),
        Ok(Err(NoPreface::Closed)) => {}
        Ok(Err(NoPreface::NotHttp2)) => {
            tracing::debug!(peer = %peer.address, "closed: the peer does not speak HTTP/2");
        }
        Err(_) => tracing::debug!(peer = %peer.address, "closed: no HTTP/2 preface in time"),
    }
    None
}

/// Serves one connection to its end. `age` is when it is asked to leave, counted from now.
pub(super) async fn drive<Io, S, B>(
    io: Prefaced<Io>,
    (peer, presented): (Peer, Option<Presented>),
    service: S,
    options: &ServerOptions,
    shutdown: &Shutdown,
    age: Option<Duration>,
) -> Ended
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let service = TowerToHyperService::new(WithPeer { inner: service, peer, presented });
    let mut connection = pin!(builder(options).serve_connection(TokioIo::new(io), service));
    let mut old = pin!(after(age));
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cutting() => return Ended::Cut,
            () = shutdown.draining(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut old, if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            end = connection.as_mut() => {
                if let Err(error) = end {
                    // The peer's doing (reset, protocol error, no PING answer): nothing for an operator to fix.
                    tracing::debug!(peer = %peer.address, %error, "connection ended");
                }
                return Ended::Over;
            }
        }
    }
}

async fn after(age: Option<Duration>) {
    match age {
        Some(age) => tokio::time::sleep(age).await,
        None => std::future::pending().await,
    }
}

/// hyper's server with every limit said, none left to a default that may be "unlimited".
fn builder(options: &ServerOptions) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_header_list_size(options.max_header_list_bytes)
        .max_pending_accept_reset_streams(options.max_pending_accept_reset_streams)
        .max_local_error_reset_streams(options.max_local_error_reset_streams)
        .initial_stream_window_size(options.initial_stream_window_bytes)
        .initial_connection_window_size(options.initial_connection_window_bytes)
        .max_send_buf_size(options.max_send_buffer_bytes)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        // gRPC has no use for the date, and each answer would carry it.
        .auto_date_header(false);
    builder
}

/// The age at which the `number`-th connection leaves: `age` ± 10 %, spread evenly and the same for the same seed.
pub(super) fn jittered(age: Duration, seed: u64, number: u64) -> Duration {
    let permille = 900 + mix(seed ^ mix(number)) % 201;
    // Up to 1.1 × age: saturates for absurd ages instead of panicking.
    let nanos = age.as_nanos().saturating_mul(u128::from(permille)) / 1_000;
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

/// The finaliser of SplitMix64: neighbouring numbers come out unrelated.
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Puts [`Peer`], and the client certificate if there is one, into each request of the connection.
#[derive(Clone, Debug)]
struct WithPeer<S> {
    inner: S,
    peer: Peer,
    presented: Option<Presented>,
}

impl<S, B> Service<Request<B>> for WithPeer<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        if let Some(presented) = &self.presented {
            request.extensions_mut().insert(presented.clone());
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_spread_over_ten_percent_either_way_and_repeat_for_a_seed() {
        let age = Duration::from_secs(1_000);
        let ages: Vec<_> = (0..1_000).map(|number| jittered(age, 42, number)).collect();
        assert!(ages.iter().all(|one| (900..=1_100).contains(&one.as_secs())));
        assert!(ages.iter().any(|one| one.as_secs() < 920));
        assert!(ages.iter().any(|one| one.as_secs() > 1_080));
        assert_eq!(ages[7], jittered(age, 42, 7));
        assert_ne!(ages, (0..1_000).map(|number| jittered(age, 43, number)).collect::<Vec<_>>());
    }

    #[test]
    fn an_absurd_age_does_not_overflow() {
        assert_eq!(jittered(Duration::MAX, 0, 0), Duration::MAX);
    }
}
