//! A collector: what is exported to it over OTLP, kept for a test to look at. It speaks gRPC, and protobuf over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tonic::{Request, Response, Status};

/// All that came.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) spans: Vec<Span>,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) metrics: Vec<Metric>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Received>>);

/// A running collector; it ends when this is dropped.
pub(crate) struct Collector {
    addr: SocketAddr,
    kept: Kept,
    task: AbortHandle,
}

impl Collector {
    pub(crate) async fn grpc() -> Self {
        let kept = Kept::default();
        let (listener, addr) = listen().await;
        let router = tonic::service::Routes::new(TraceServiceServer::new(kept.clone()))
            .add_service(LogsServiceServer::new(kept.clone()))
            .add_service(MetricsServiceServer::new(kept.clone()))
            .prepare();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let executor = hyper_util::rt::TokioExecutor::new();
                    let connection = hyper::server::conn::http2::Builder::new(executor)
                        .serve_connection(TokioIo::new(stream), service);
                    connection.await.ok();
                });
            }
        });
        Self { addr, kept, task: task.abort_handle() }
    }

    pub(crate) async fn http() -> Self {
        let kept = Kept::default();
        let (listener, addr) = listen().await;
        let keeping = kept.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = keeping.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| take_http(kept.clone(), request));
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { addr, kept, task: task.abort_handle() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, Received> {
        self.kept.0.lock().expect("no panic while it was held")
    }

    /// Waits until something of what came is asked for.
    pub(crate) async fn until(&self, what: &str, is_there: impl Fn(&Received) -> bool) {
        crate::support::eventually(what, || std::future::ready(is_there(&self.received()))).await;
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    (listener, addr)
}

async fn take_http(
    kept: Kept,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    match path.as_str() {
        "/v1/traces" => kept.traces(ExportTraceServiceRequest::decode(body).expect("traces")),
        "/v1/logs" => kept.logs(ExportLogsServiceRequest::decode(body).expect("logs")),
        "/v1/metrics" => kept.metrics(ExportMetricsServiceRequest::decode(body).expect("metrics")),
        _ => panic!("asked for {path}"),
    }
    Ok(hyper::Response::new(Full::default()))
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.0.lock().expect("no panic while it was held")
    }

    fn traces(&self, request: ExportTraceServiceRequest) {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.lock().spans.extend(scopes.flat_map(|scope| scope.spans));
    }

    fn logs(&self, request: ExportLogsServiceRequest) {
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        self.lock().logs.extend(scopes.flat_map(|scope| scope.log_records));
    }

    fn metrics(&self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        self.lock().metrics.extend(scopes.flat_map(|scope| scope.metrics));
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.traces(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Kept {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.logs(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

/// An attribute as text.
pub(crate) fn attribute(of: &[KeyValue], key: &str) -> Option<String> {
    let found = of.iter().find(|pair| pair.key == key)?;
    said(found.value.as_ref()?)
}

pub(crate) fn said(value: &AnyValue) -> Option<String> {
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
