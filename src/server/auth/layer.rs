//! The guard as a layer: each call is judged before any of its body is read.
//!
//! Most calls are judged at once. One that what is known here cannot judge waits for the database to be asked. What
//! proved the caller goes no further: the handlers see the [`Caller`], and the log never sees a token.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, header};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::caller::Caller;
use super::guard::{Guard, Refused, Verdict};
use crate::server::layer::access_log::Note;
use crate::server::status;
use crate::server::tls::Presented;

#[derive(Clone, Debug)]
pub(in crate::server) struct GuardLayer {
    guard: Guard,
}

impl GuardLayer {
    pub(in crate::server) fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.guard.clone() }
    }
}

#[derive(Clone, Debug)]
pub(in crate::server) struct Guarded<S> {
    inner: S,
    guard: Guard,
}

type Waiting<B> = Pin<Box<dyn Future<Output = Response<B>> + Send>>;

impl<S, Q, B> Service<Request<Q>> for Guarded<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    B: Default + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = GuardFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let presented = request.extensions().get::<Presented>();
        let verdict = self.guard.judge(request.uri().path(), request.headers(), presented);
        request.headers_mut().remove(header::AUTHORIZATION);
        let note = request.extensions().get::<Note>().cloned().unwrap_or_default();
        match verdict {
            Verdict::Pass(caller) => {
                let_in(&mut request, &note, caller);
                GuardFuture::Running { inner: self.inner.call(request) }
            }
            Verdict::Refuse(refused) => GuardFuture::Refused { refused, note },
            Verdict::Ask(question) => {
                let guard = self.guard.clone();
                // The one that was polled ready goes with the call.
                let next = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, next);
                GuardFuture::Waiting {
                    inner: Box::pin(async move {
                        match guard.ask(question).await {
                            Ok(caller) => {
                                let_in(&mut request, &note, caller);
                                let Ok(response) = inner.call(request).await;
                                response
                            }
                            Err(refused) => answer(&refused, &note),
                        }
                    }),
                }
            }
        }
    }
}

/// Notes at once who calls: a call that is cut off has a line as well.
fn let_in<Q>(request: &mut Request<Q>, note: &Note, caller: Caller) {
    note.actor(caller.name());
    request.extensions_mut().insert(caller);
}

/// The whole answer to a call that is refused.
fn answer<B: Default>(refused: &Refused, note: &Note) -> Response<B> {
    if let Some(actor) = &refused.actor {
        note.actor(actor);
    }
    status::only(&refused.status, B::default())
}

pin_project! {
    #[project = GuardProjection]
    pub(in crate::server) enum GuardFuture<F, B> {
        Refused { refused: Refused, note: Note },
        Running {
            #[pin]
            inner: F,
        },
        Waiting { inner: Waiting<B> },
    }
}

impl<F, B> Future for GuardFuture<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Default,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            GuardProjection::Refused { refused, note } => Poll::Ready(Ok(answer(refused, note))),
            GuardProjection::Running { inner } => inner.poll(cx),
            GuardProjection::Waiting { inner } => inner.as_mut().poll(cx).map(Ok),
        }
    }
}
