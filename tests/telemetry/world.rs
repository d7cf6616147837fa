//! A server that tells, and traffic of every kind for it to tell of.

use scrip::clock::System;
use scrip::fal::fake::{FakeFal, Workspace};
use scrip::pb;
use scrip::pb::reconciliation_service_client::ReconciliationServiceClient;
use std::net::SocketAddr;
use tempfile::TempDir;
use tonic::Code;

use crate::certificates::Authority;
use crate::scrape::{Scrape, admin_of, scrape};
use crate::support::client::{KEK, Scrip, authorize, charge, refused};
use crate::support::server::{Launch, ScripProcess};
use crate::support::{eventually, postgres};

/// What no label may ever say.
pub(crate) const USER: i64 = 987_654_321;
pub(crate) const TASK: &str = "prIvAtE-77b2";
/// What nothing may ever say.
pub(crate) const SECRET: &str = "cAnArY-5d1f";

pub(crate) struct World {
    pub(crate) scrip: Scrip,
    pub(crate) admin: SocketAddr,
    pub(crate) fal: FakeFal,
    _folder: Option<TempDir>,
}

impl World {
    pub(crate) async fn on_sqlite(dress: impl FnOnce(Launch) -> Launch) -> World {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
        Self::on(url, Some(folder), dress).await
    }

    pub(crate) async fn on_postgres(dress: impl FnOnce(Launch) -> Launch) -> Option<World> {
        let url = postgres::shared()?.fresh_database().await;
        Some(Self::on(url, None, dress).await)
    }

    pub(crate) async fn on(
        url: String,
        folder: Option<TempDir>,
        dress: impl FnOnce(Launch) -> Launch,
    ) -> World {
        let fal = FakeFal::start().await.unwrap();
        fal.world().add(Workspace::new("acme", "0.5").key(&format!("key-a:{SECRET}")));
        let launch = Launch::new(&url)
            .arg("--admin-listen=127.0.0.1:0")
            .arg("--sample-every=50ms")
            .env("SCRIP_KEK", KEK)
            .env("SCRIP_FAL_BASE_URL", fal.base_url())
            .env("SCRIP_FAL_ALLOW_LOOPBACK", "true")
            .env("SCRIP_BILLING_LAG", "0s")
            // Whoever runs the tests may export telemetry of his own.
            .env("OTEL_SDK_DISABLED", "false")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
        let scrip = Scrip::on(dress(launch), url, None).await;
        let admin = admin_of(&scrip.server).await;
        World { scrip, admin, fal, _folder: folder }
    }

    pub(crate) async fn scrape(&self) -> Scrape {
        scrape(self.admin).await
    }

    /// Scrapes until something is there.
    pub(crate) async fn until(&self, what: &str, is_there: impl Fn(&Scrape) -> bool) -> Scrape {
        let found = tokio::sync::Mutex::new(Scrape::default());
        eventually(what, || async {
            let scrape = self.scrape().await;
            let holds = is_there(&scrape);
            *found.lock().await = scrape;
            holds
        })
        .await;
        found.into_inner()
    }

    /// Five charges that succeed, two that do not, a hold, an account and a lease of it.
    pub(crate) async fn traffic(&mut self) {
        let scrip = &mut self.scrip;
        scrip.with_points(USER, 1_000).await;
        for job in 0..5 {
            scrip.charge(USER, &format!("{TASK}-{job}"), 30).await;
        }
        for job in 5..7 {
            let asked = charge(USER, &format!("{TASK}-{job}"), 10_000);
            refused(scrip.billing.charge(asked).await, Code::FailedPrecondition, "INSUFFICIENT_BALANCE");
        }
        scrip.billing.authorize(authorize(USER, "held", 200)).await.unwrap();
        let account = pb::CreateAccountRequest {
            name: "main".into(),
            api_key: format!("key-a:{SECRET}"),
            workspace: "acme".into(),
            max_concurrency: Some(3),
            ..Default::default()
        };
        scrip.keys.create_account(account).await.unwrap();
        let leased =
            pb::ChargeRequest { select_key: Some(pb::KeySelection::default()), ..charge(USER, "leased", 10) };
        scrip.billing.charge(leased).await.unwrap();
    }

    /// A run of reconciliation, to its end.
    pub(crate) async fn reconcile(&mut self) {
        let mut runs = ReconciliationServiceClient::new(self.scrip.server.channel().await);
        let an_hour_ago = System::clock().now().0 / 1_000_000 - 3_600;
        let start = pb::StartReconciliationRequest {
            start_time: Some(prost_types::Timestamp { seconds: an_hour_ago, nanos: 0 }),
            ..Default::default()
        };
        let run = runs.start_reconciliation(start).await.unwrap().into_inner().reconciliation.unwrap();
        let watch = pb::WatchReconciliationRequest { reconciliation_id: run.reconciliation_id };
        let mut progress = runs.watch_reconciliation(watch).await.unwrap().into_inner();
        while progress.message().await.unwrap().is_some() {}
    }
}

/// What a server over TLS tells beside the others, whose clients show certificates; and the folder with its files.
pub(crate) async fn over_tls() -> (ScripProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = Authority::new("servers").server(2050).write(folder.path(), "server");
    let clients = folder.path().join("clients.pem");
    std::fs::write(&clients, Authority::new("clients").pem()).unwrap();
    let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
    let text = |path: std::path::PathBuf| path.display().to_string();
    let launch = Launch::new(&url)
        .arg("--admin-listen=127.0.0.1:0")
        .env("SCRIP_TLS_CERT", text(cert))
        .env("SCRIP_TLS_KEY", text(key))
        .env("SCRIP_CLIENT_CA", text(clients))
        .env("SCRIP_CLIENT_ROLES", "CN=ops=admin");
    (launch.start().await, folder)
}
