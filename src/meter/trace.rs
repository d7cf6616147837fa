//! Which trace is at work on this thread, so that a line of the log can name it where no span is exported. A caller's
//! `traceparent` tells, or the number that its call was given here.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use opentelemetry::trace::TraceId;
use pin_project_lite::pin_project;

thread_local! {
    static AT_WORK: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// The trace that is at work here; none outside of calls.
pub fn trace() -> Option<TraceId> {
    AT_WORK.get()
}

/// Runs something as a part of a trace.
pub fn in_trace<T>(trace: Option<TraceId>, run: impl FnOnce() -> T) -> T {
    /// Puts back what was at work before, also after a panic.
    struct Before(Option<TraceId>);
    impl Drop for Before {
        fn drop(&mut self) {
            AT_WORK.set(self.0);
        }
    }
    let _before = Before(AT_WORK.replace(trace));
    run()
}

/// A future that runs as a part of a trace, whichever thread it runs on.
pub fn traced<F: Future>(trace: Option<TraceId>, future: F) -> Traced<F> {
    Traced { trace, future }
}

pin_project! {
    /// What [`traced`] answers.
    #[derive(Debug)]
    pub struct Traced<F> {
        trace: Option<TraceId>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        in_trace(*this.trace, || this.future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_in_a_trace_knows_it_and_what_comes_after_does_not() {
        let (outer, inner) = (Some(TraceId::from(1_u128)), Some(TraceId::from(2_u128)));
        in_trace(outer, || {
            assert_eq!(in_trace(inner, trace), inner);
            assert_eq!(trace(), outer);
            let panicked = std::panic::catch_unwind(|| in_trace(inner, || panic!("it fails")));
            assert!(panicked.is_err());
            assert_eq!(trace(), outer);
        });
        assert_eq!(trace(), None);
    }

    #[tokio::test]
    async fn a_future_takes_its_trace_along_and_leaves_the_others_theirs() {
        let trace_of = |number: u128| Some(TraceId::from(number));
        let asked = |number| {
            traced(trace_of(number), async move {
                tokio::task::yield_now().await;
                (trace(), trace_of(number))
            })
        };
        let (one, other) = tokio::join!(asked(1), asked(2));
        assert_eq!((one.0, other.0), (one.1, other.1));
        assert_eq!(trace(), None);
    }
}
