//! A server of one unary method, with no more around it than tonic itself has: what contenders b and d are made of.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, StdError};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::process::LISTENING;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What answers the method.
pub trait Method: Send + Sync + 'static {
    type Request: prost::Message + Default + Send + Sync + 'static;
    type Response: prost::Message + Default + Send + Sync + 'static;
    fn answer(&self, request: Self::Request) -> impl Future<Output = Result<Self::Response, Status>> + Send;
}

/// Whatever method of BillingService is called, this one answers: there is one caller, and it calls one.
struct Billing<M>(Arc<M>);

impl<M> Clone for Billing<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> NamedService for Billing<M> {
    const NAME: &'static str = "scrip.v1.BillingService";
}

impl<M: Method> UnaryService<M::Request> for Billing<M> {
    type Response = M::Response;
    type Future = Answer<Result<Response<M::Response>, Status>>;

    fn call(&mut self, request: Request<M::Request>) -> Self::Future {
        let method = Arc::clone(&self.0);
        Box::pin(async move { method.answer(request.into_inner()).await.map(Response::new) })
    }
}

impl<M: Method, B> Service<http::Request<B>> for Billing<M>
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<M::Response, M::Request>::default();
            Ok(Grpc::new(codec).unary(method, request).await)
        })
    }
}

/// Serves on a port of the kernel's choice until the process is killed.
pub async fn serve(method: impl Method) -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{LISTENING}{}", listener.local_addr().expect("an address"));
    let served = Server::builder()
        .tcp_nodelay(true)
        .add_service(Billing(Arc::new(method)))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
    eprintln!("the server ended: {served:?}");
    ExitCode::FAILURE
}
