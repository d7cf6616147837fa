//! `grpc.health.v1.Health`: whether to send calls here.
//!
//! Every service of this process shares one fate (one store, one engine), so all of them and the overall service ""
//! change together. The process serves while it has a store **and** is not draining; draining is never taken back,
//! so a database that comes back during a drain does not attract calls to a process about to end.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The name under which the protocol asks for the process as a whole.
const OVERALL: &str = "";

/// A handle that says whether this process serves. Clones are the same handle.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    reporter: HealthReporter,
    services: Vec<String>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    ready: bool,
    draining: bool,
}

impl State {
    fn serving(self) -> bool {
        self.ready && !self.draining
    }
}

impl Health {
    /// The handle, and the service to add to the routes. NOT_SERVING until [`Health::set_serving`] says otherwise.
    ///
    /// `services` are full names such as `scrip.v1.BillingService` (each generated server's `NAME`).
    pub async fn new(services: &[&str]) -> (Self, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        let names = std::iter::once(OVERALL).chain(services.iter().copied()).map(str::to_owned).collect();
        let inner = Inner { reporter: reporter.clone(), services: names, state: Mutex::default() };
        inner.publish(false).await;
        let service = HealthServer::new(HealthService::from_health_reporter(reporter));
        (Self { inner: Arc::new(inner) }, service)
    }

    /// Says whether the process can do its work: true once the store is open, false while it is lost.
    pub async fn set_serving(&self, ready: bool) {
        self.change(|state| state.ready = ready).await;
    }

    /// Says NOT_SERVING for good.
    pub async fn drain(&self) {
        self.change(|state| state.draining = true).await;
    }

    /// Whether SERVING is what callers are told now.
    pub async fn is_serving(&self) -> bool {
        self.inner.state.lock().await.serving()
    }

    /// The lock is held while the statuses are published, so that two changes cannot publish in the wrong order.
    async fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.inner.state.lock().await;
        let before = state.serving();
        change(&mut state);
        let after = state.serving();
        // Watchers hear of every publication, so one that changes nothing is not made.
        if before != after {
            self.inner.publish(after).await;
            tracing::info!(serving = after, "health changed");
        }
    }
}

impl Inner {
    async fn publish(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("services", &self.inner.services).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_serves_with_a_store_and_not_without() {
        let (health, _service) = Health::new(&["scrip.v1.BillingService"]).await;
        assert!(!health.is_serving().await);
        health.set_serving(true).await;
        assert!(health.is_serving().await);
        health.set_serving(false).await;
        assert!(!health.is_serving().await);
    }

    #[tokio::test]
    async fn a_store_that_comes_back_does_not_undo_a_drain() {
        let (health, _service) = Health::new(&[]).await;
        health.set_serving(true).await;
        health.drain().await;
        health.set_serving(false).await;
        health.set_serving(true).await;
        assert!(!health.is_serving().await);
    }
}
