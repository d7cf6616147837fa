//! The room through real sockets: a scripted service behind the whole stack, spoken to by tonic's client, by a bare
//! HTTP/2 client where headers must be seen as they are, and by sockets that misbehave.

mod calls;
mod connections;
mod drain;
mod surface;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, Request as HttpRequest};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health as HealthRpc, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::*;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// What the scripted service decodes at most: small, so that a test can be above it cheaply.
const SMALL_LIMIT_BYTES: usize = 1_024;

/// Does what the request's `service` says.
#[derive(Clone)]
struct Script {
    /// Calls of "gate" that have arrived.
    arrived: Arc<Semaphore>,
    /// What lets them answer, one permit each.
    gate: Arc<Semaphore>,
    /// Unary calls that reached the handler.
    handled: Arc<AtomicUsize>,
}

impl Script {
    fn new() -> Self {
        Self {
            arrived: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(0)),
            handled: Arc::default(),
        }
    }

    /// Completes when a call is waiting at the gate.
    async fn at_the_gate(&self) {
        bounded(self.arrived.acquire()).await.unwrap().forget();
    }

    fn open(&self) {
        self.gate.add_permits(1);
    }

    fn routes(&self) -> Routes {
        let service = HealthServer::new(self.clone()).max_decoding_message_size(SMALL_LIMIT_BYTES);
        Routes::new(service)
    }
}

/// Turns a hang into a failure. The minute is no measure of anything: what is awaited takes milliseconds.
async fn bounded<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("still waiting after a minute")
}

fn answer(serving: bool) -> HealthCheckResponse {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl HealthRpc for Script {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        match request.get_ref().service.as_str() {
            "hang" => std::future::pending().await,
            "panic" => panic!("as the script says"),
            "gate" => {
                self.arrived.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                Ok(Response::new(answer(true)))
            }
            "out of range" => Err(Status::out_of_range("the handler's own")),
            "deadline" => {
                let left = request.extensions().get::<Deadline>().unwrap().remaining();
                Ok(Response::new(answer(left > Duration::from_secs(1_000))))
            }
            "peer" => Ok(Response::new(answer(request.extensions().get::<Peer>().is_some()))),
            _ => Ok(Response::new(answer(true))),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = stream::iter([Ok(answer(true))]);
        let rest: Self::WatchStream = match request.get_ref().service.as_str() {
            "panic" => Box::pin(stream::once(async {
                // tonic gathers what is ready at once; a turn apart, the first message is already out.
                tokio::task::yield_now().await;
                panic!("as the script says")
            })),
            "endless" => Box::pin(stream::repeat_with(|| Ok(answer(true)))),
            _ => Box::pin(stream::pending()),
        };
        Ok(Response::new(Box::pin(first.chain(rest))))
    }
}

/// A server on a free port of the loopback.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    health: Health,
    serving: JoinHandle<Result<DrainReport, OptionsError>>,
}

impl Running {
    /// Serves the script.
    async fn script(options: ServerOptions) -> (Self, Script) {
        let script = Script::new();
        let (health, _not_served) = Health::new(&[]).await;
        (Self::start(options, script.routes(), health).await, script)
    }

    async fn start(options: ServerOptions, routes: Routes, health: Health) -> Self {
        let listener: TcpListener = bind(parse_listen("127.0.0.1:0").unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        health.set_serving(true).await;
        let serving = tokio::spawn(serve(
            listener,
            routes,
            options,
            (Security::none(), Meters::off()),
            health.clone(),
            shutdown.clone(),
        ));
        Self { address, shutdown, health, serving }
    }

    /// A client with one connection of its own.
    async fn client(&self) -> HealthClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        HealthClient::new(endpoint.connect().await.unwrap())
    }

    async fn stop(self) -> DrainReport {
        self.shutdown.begin_drain();
        self.over().await
    }

    async fn over(self) -> DrainReport {
        bounded(self.serving).await.unwrap().unwrap()
    }
}

/// Options under which no limit of its own ends a test; each test makes the one it is about small.
fn patient() -> ServerOptions {
    let long = Duration::from_secs(3_600);
    ServerOptions {
        first_byte_timeout: long,
        max_request_timeout: long,
        max_stream_duration: long,
        drain_timeout: long,
        ..ServerOptions::default()
    }
}

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// An HTTP/2 client that has no deadline of its own, does not reconnect, and shows headers as they are.
#[derive(Clone)]
struct BareClient {
    address: SocketAddr,
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
}

impl BareClient {
    async fn connect(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self { address, sender }
    }

    async fn try_call(
        &mut self,
        path: &str,
        service: &str,
        timeout: Option<&str>,
    ) -> Result<Answer, hyper::Error> {
        let message = asking(service).encode_to_vec();
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.put_slice(&message);
        let mut request = HttpRequest::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        let request = request.body(Full::new(framed.freeze())).unwrap();
        let (head, body) = bounded(self.sender.send_request(request)).await?.into_parts();
        let collected = bounded(body.collect()).await?;
        let trailers = collected.trailers().cloned();
        Ok(Answer { head: head.headers, body: collected.to_bytes(), trailers })
    }
}

/// One call on a connection of its own.
async fn bare_call(address: SocketAddr, path: &str, service: &str, timeout: Option<&str>) -> Answer {
    BareClient::connect(address).await.try_call(path, service, timeout).await.unwrap()
}

#[derive(Debug)]
struct Answer {
    head: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn status(&self) -> Status {
        let headers = self.trailers.as_ref().unwrap_or(&self.head);
        Status::from_header_map(headers).expect("every answer has a grpc-status")
    }
}
