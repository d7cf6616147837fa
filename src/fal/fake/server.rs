//! The fake fal's socket: HTTP/1.1 on a free port of the loopback.
//!
//! Phases of a request: it is noted ([`Seen`]) → its fault is taken from the plan → the true answer is computed → and
//! sent, spoilt as the fault says.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::answers::{self, Answer, Params};
use super::fault::{Fault, Route};
use super::world::World;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its path, from `/v1` on.
    pub path: String,
    /// Its parameters, in order.
    pub params: Vec<(String, String)>,
    /// When it came.
    pub at: Instant,
    /// Whose doing it is, in W3C's words, where it says.
    pub traceparent: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    world: World,
    seen: Vec<Seen>,
}

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeFal {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

/// The world, locked: answers wait for it, so it is not to be held for long.
pub struct WorldGuard<'a>(MutexGuard<'a, State>);

impl std::ops::Deref for WorldGuard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0.world
    }
}

impl std::ops::DerefMut for WorldGuard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0.world
    }
}

impl FakeFal {
    /// Listens on a free port of the loopback, with an empty world.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(accept(listener, state.clone())).abort_handle();
        Ok(Self { address, state, task })
    }

    /// The base URL to configure: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it knows, to be read and changed at any time.
    pub fn world(&self) -> WorldGuard<'_> {
        WorldGuard(lock(&self.state))
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }
}

impl Drop for FakeFal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state stays whole between its changes, so one that a panic left is as good.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(serve(stream, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| handle(request, state.clone()));
    // How a connection ends is the client's affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn handle(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Body>, io::Error> {
    let (fault, answer) = {
        let mut state = lock(&state);
        let params = Params(read_query(request.uri().query().unwrap_or_default()));
        let path = request.uri().path().to_owned();
        let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = traceparent.map(str::to_owned);
        let (params_seen, at) = (params.0.clone(), Instant::now());
        state.seen.push(Seen { path: path.clone(), params: params_seen, at, traceparent });
        let Some(route) = route(&path) else {
            return respond(&answers::error(404, "not_found", "Resource not found"));
        };
        let fault = state.world.fault(route);
        if matches!(fault, None | Some(Fault::Delay(_))) {
            state.world.begin(route, &params);
        }
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        (fault, answers::answer(&state.world, route, authorization, &params))
    };
    match fault {
        None => respond(&answer),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            respond(&answer)
        }
        Some(fault) => spoil(fault, &answer),
    }
}

fn route(path: &str) -> Option<Route> {
    match path {
        "/v1/models/usage" => Some(Route::Usage),
        "/v1/models/billing-events" => Some(Route::Events),
        "/v1/account/billing" => Some(Route::Account),
        "/v1/models/pricing" => Some(Route::Pricing),
        _ => None,
    }
}

fn read_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, more)) = rest.split_first() {
            let hex = more.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    rest = &more[2..];
                    continue;
                }
                (b'+', _) => bytes.push(b' '),
                _ => bytes.push(*first),
            }
            rest = more;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

fn respond((status, body): &Answer) -> Result<Response<Body>, io::Error> {
    response(*status, whole(body.to_string()))
}

fn response(status: u16, body: Body) -> Result<Response<Body>, io::Error> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The true answer, spoilt.
fn spoil(fault: Fault, answer: &Answer) -> Result<Response<Body>, io::Error> {
    let text = answer.1.to_string();
    let half = Bytes::from(text.as_bytes()[..text.len() / 2].to_vec());
    match fault {
        Fault::Delay(_) => respond(answer),
        Fault::Error(status, kind) => respond(&answers::error(status, kind, "as planned")),
        Fault::Detail(status, detail) => respond(&(status, serde_json::json!({ "detail": detail }))),
        Fault::RetryAfter(status, after) => {
            let kind = if status == 429 { "rate_limited" } else { "server_error" };
            let mut response = respond(&answers::error(status, kind, "as planned"))?;
            response.headers_mut().insert(RETRY_AFTER, header(&after)?);
            Ok(response)
        }
        Fault::Redirect(to) => {
            let mut response = response(302, whole(""))?;
            response.headers_mut().insert(LOCATION, header(&to)?);
            Ok(response)
        }
        Fault::HangUp => Err(io::Error::other("as planned")),
        Fault::Truncated => {
            // A body that fails under an announced length closes the connection.
            let end = stream::once(async { Err(io::Error::other("as planned")) });
            announced(text.len(), stream::once(async move { Ok(Frame::data(half)) }).chain(end))
        }
        Fault::Stalled => {
            announced(text.len(), stream::once(async move { Ok(Frame::data(half)) }).chain(stream::pending()))
        }
        Fault::CutJson => response(200, whole(half)),
        Fault::Oversized(length, true) => response(200, whole(vec![b' '; length])),
        Fault::Oversized(length, false) => {
            const CHUNK: usize = 16 * 1024;
            let chunks = (0..length.div_ceil(CHUNK))
                .map(move |at| Ok(Frame::data(Bytes::from(vec![b' '; CHUNK.min(length - at * CHUNK)]))));
            response(200, BodyExt::boxed_unsync(StreamBody::new(stream::iter(chunks))))
        }
        Fault::Body(body) => response(200, whole(body)),
    }
}

fn announced(
    length: usize,
    frames: impl stream::Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static,
) -> Result<Response<Body>, io::Error> {
    let mut response = response(200, BodyExt::boxed_unsync(StreamBody::new(frames)))?;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

fn header(text: &str) -> io::Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(io::Error::other)
}
