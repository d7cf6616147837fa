//! What `serve` tells of itself beside its log: the admin port, and the figures that only the database knows.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::admin::{self, Admin, Sampler};
use crate::config::{HumanDuration, TelemetryArgs};
use crate::meter::Meters;
use crate::server::{self, Health, Shutdown};
use crate::store::Store;
use crate::telemetry::Telemetry;

/// What runs for those who look at the service.
pub(super) struct Told {
    pub(super) meters: Meters,
    /// Where the admin port listens.
    pub(super) admin: Option<SocketAddr>,
    answering: Option<Arc<Admin>>,
    stopping: CancellationToken,
}

impl Told {
    /// Opens the admin port where one is asked for; it answers from now on, also while the database is being opened.
    pub(super) async fn start(
        args: &TelemetryArgs,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> Result<Self, Failure> {
        let meters = telemetry.meters().clone();
        let mut told = Self { meters, admin: None, answering: None, stopping: CancellationToken::new() };
        if let (Some(address), Some(scrape)) = (args.admin_listen, telemetry.scrape()) {
            let refused = |error: String| Failure::could_not_run(format!("admin-listen: {error}"));
            let listener = server::bind(address).await.map_err(|error| refused(error.to_string()))?;
            let bound = listener.local_addr().map_err(|error| refused(error.to_string()))?;
            if !bound.ip().is_loopback() {
                tracing::warn!(%bound, "the admin port has no authentication: let only those reach it who may read it");
            }
            let answering = Admin::new(scrape.clone(), telemetry.log().clone());
            tokio::spawn(admin::serve(listener, Arc::clone(&answering), shutdown.clone()));
            (told.admin, told.answering) = (Some(bound), Some(answering));
        }
        Ok(told)
    }

    /// Reads the database's figures from now on, where anybody reads them.
    pub(super) fn sample(&self, store: &dyn Store, HumanDuration(every): HumanDuration) {
        if self.meters.is_on() {
            let sampler = Sampler::new(store, self.meters.clone());
            tokio::spawn(sampler.run(every, self.stopping.clone()));
        }
    }

    /// No more reading of the database: it is about to be closed.
    pub(super) fn stop_sampling(&self) {
        self.stopping.cancel();
    }

    /// From now on the probes hear what `health` says.
    pub(super) fn serves(&self, health: &Health) {
        if let Some(answering) = &self.answering {
            answering.serves(health.clone());
        }
    }
}
