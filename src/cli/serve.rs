//! `scrip serve`: the service, from its options to its last answer.
//!
//! The phases:
//!
//! 1. options are checked against each other, before anything is touched; telemetry and the admin port are started;
//! 2. the address is taken: a second server on one port stops here and leaves the database alone;
//! 3. the store is opened and migrated, its key-encryption keys are found or made, engine and reconciliation
//!    started, health follows the store;
//! 4. where it listens is said on stdout, and how to try it;
//! 5. it serves until SIGTERM or SIGINT;
//! 6. the server drains, then reconciliation and the engine, within the drain's time; what was cut is said.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use super::failure::Failure;
use super::keyring::{self, Found};
use super::output::Out;
use super::remote::reachable;
use super::routes::routes;
use super::security::{self, Door};
use super::session::{Prepare, close, open_to_serve};
use super::told::Told;
use crate::clock::System;
use crate::config::{
    AuditArgs, CommonArgs, DatabaseArgs, DatabaseUrl, EngineArgs, FalArgs, KekArgs, LimitArgs, ListenArgs,
    MigrateArgs, ScheduleArgs, Scheme, SecurityArgs, ServerArgs, TelemetryArgs, ThresholdArgs,
};
use crate::engine::{self, Engine};
use crate::fal;
use crate::meter::Meters;
use crate::reconcile::{self, Reconciler};
use crate::server::{self, Health, ServerOptions, Shutdown};
use crate::store::Store;
use crate::telemetry::{self, Telemetry};
use crate::vault::Keyring;

/// Lanes on PostgreSQL unless said otherwise: two keep the database at work while one of them decides. A third gave
/// nothing on two cores (docs/benchmarks/notes.md).
const POSTGRES_LANES: usize = 2;
/// What the engine gets for its last commit even if the connections took all of the drain's time: cut short, its
/// callers would have to find out whether it was stored.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// Run the billing service
///
/// Listens for gRPC: BillingService, TaskService, KeyService and ReconciliationService, with standard health and
/// reflection. Creates and migrates its database at start. SIGTERM or SIGINT stops it: what was accepted is answered, within --drain-timeout; a second
/// signal cuts what is left.
///
/// fal keys are stored sealed, with the keys of --kek-file or SCRIP_KEK. Without either, SQLite gets a key of its own in
/// a file beside the database, such as scrip.db.kek, and on PostgreSQL no fal key can be stored.
///
/// Callers prove who they are with a token (`scrip tokens create`) or a client certificate. On this machine that is asked
/// for as soon as there is a token; beyond it always, and over TLS alone (--tls-cert, --tls-key), unless --insecure.
///
/// Prints `listening on IP:PORT` as its first line, then its database, then three grpcurl calls to try. Logs go to
/// stderr.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip serve\n  \
    scrip serve --listen 0.0.0.0:50051 --tls-cert server.pem --tls-key server.key\n  \
    scrip serve --database-url sqlite:///var/lib/scrip/scrip.db\n  \
    SCRIP_DATABASE_URL=postgres://scrip:secret@db/scrip scrip serve --no-migrate\n  \
    scrip serve --config /etc/scrip.toml")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    migrate: MigrateArgs,
    #[command(flatten)]
    keks: KekArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten)]
    fal: FalArgs,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    thresholds: ThresholdArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

impl ServeArgs {
    fn engine_options(&self, database: &DatabaseUrl) -> Result<engine::Options, String> {
        let options = self.engine.options(self.limits.limits()?, POSTGRES_LANES);
        match database.scheme()? {
            Scheme::Postgres => Ok(options),
            Scheme::Sqlite if self.engine.lanes.is_some_and(|lanes| lanes > 1) => {
                Err("lanes must be 1 with SQLite, which has one writer; several need PostgreSQL".to_owned())
            }
            Scheme::Sqlite => Ok(engine::Options { lanes: 1, ..options }),
        }
    }

    /// What reconciliation works with.
    fn reconciliation(&self, meters: &Meters) -> Result<(fal::Client, reconcile::Options), String> {
        let options = self.schedule.options(self.audit.settings(&self.thresholds)?, &self.fal)?;
        let client = fal::Client::measured(self.fal.config(), System::clock(), meters.clone());
        Ok((client.map_err(|error| format!("fal-base-url: {error}"))?, options))
    }
}

pub(super) async fn run(args: ServeArgs, common: &CommonArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let system = match args.database.database_url.scheme().map_err(Failure::CouldNotRun)? {
        Scheme::Sqlite => "sqlite",
        Scheme::Postgres => "postgresql",
    };
    let telemetry =
        telemetry::start_service(common, &args.telemetry, system).map_err(Failure::CouldNotRun)?;
    let ended = run_told(&args, &telemetry, out).await;
    telemetry.end().await;
    ended
}

/// The service, telling of itself.
async fn run_told(args: &ServeArgs, telemetry: &Telemetry, out: &mut Out) -> Result<ExitCode, Failure> {
    let (database, meters) = (&args.database.database_url, telemetry.meters());
    let mut engine_options = args.engine_options(database).map_err(Failure::CouldNotRun)?;
    let mut server_options = args.server.options().map_err(Failure::CouldNotRun)?;
    server_options.max_connections = server::connections_within_limit(server_options.max_connections);
    let (client, reconcile_options) = args.reconciliation(meters).map_err(Failure::CouldNotRun)?;
    let security = args.security.plan(args.listen.listen).map_err(Failure::CouldNotRun)?;
    let configured = keyring::configured(&args.keks)?;

    let listener = server::bind(args.listen.listen)
        .await
        .map_err(|error| Failure::could_not_run(format!("listen: {error}")))?;
    let prepare = if args.migrate.no_migrate { Prepare::Nothing } else { Prepare::Migrate };
    let shutdown = Shutdown::new();
    let told = Told::start(&args.telemetry, telemetry, &shutdown).await?;
    let store = open_to_serve(database, prepare, args.migrate.allow_unsafe_database, meters).await?;
    let door = security::open(security, &*store, meters).await?;
    let (keyring, said) = keyring(configured, database, &*store).await?;
    (engine_options.keyring, engine_options.meters) = (Arc::new(keyring), meters.clone());
    told.sample(&*store, args.telemetry.sample_every);
    let engine = Engine::start(&*store, System::ids(), engine_options);
    let holder = Uuid::from_bytes(System::secret_bytes());
    let reconciler = Reconciler::start(&*store, engine.handle(), client, holder, reconcile_options)
        .ok_or_else(|| Failure::could_not_run("this database keeps no reconciliations"))?;
    let about = About { database: store.describe(), keys: said, door };
    let handles = (&engine, reconciler.handle());
    let ended = serve((listener, shutdown.clone()), handles, server_options, about, &told, out).await;
    // What it was at is taken up again by whoever comes next; until then it must not hold the stop up.
    let drain = async {
        reconciler.drain().await;
        engine.drain().await;
    };
    let (report, drain_timeout) = match ended {
        Ok(ended) => ended,
        Err(failure) => {
            let _ = tokio::time::timeout(LAST_COMMIT, drain).await;
            return Err(failure);
        }
    };

    told.stop_sampling();
    let left = drain_timeout.saturating_sub(report.took).max(LAST_COMMIT);
    let is_drained = tokio::time::timeout(left, drain).await.is_ok();
    if is_drained {
        close(&*store).await;
    }
    // Whoever watched stdout may be gone by now; that does not turn an orderly stop into a failure.
    let _ = out.line(farewell(report.connections_cut, is_drained));
    Ok(ExitCode::SUCCESS)
}

/// The keys that seal and open fal keys; and what is to be said of them on stdout, if anything.
async fn keyring(
    configured: Option<Keyring>,
    database: &DatabaseUrl,
    store: &dyn Store,
) -> Result<(Keyring, Option<String>), Failure> {
    let found = keyring::find(configured, database, &*store.reader()).await?;
    match &found {
        Found::Beside(_, path) => tracing::info!(path = %path.display(), "key-encryption keys found"),
        Found::Nowhere => {
            tracing::info!(
                "no key-encryption key: fal keys cannot be stored until one is given with --kek-file"
            );
        }
        Found::Configured(_) | Found::Absent(_) => {}
    }
    let (keyring, created) = found.or_create()?;
    Ok((keyring, created.map(|path| keyring::created(&path))))
}

/// What is said once it listens.
struct About {
    /// The database, without secrets.
    database: String,
    /// News of the keys that seal its secrets.
    keys: Option<String>,
    /// Who may connect and call.
    door: Door,
}

/// Serves until a signal, and until the connections are drained.
async fn serve(
    (listener, shutdown): (TcpListener, Shutdown),
    (engine, reconcile): (&Engine, reconcile::Handle),
    options: ServerOptions,
    about: About,
    told: &Told,
    out: &mut Out,
) -> Result<(server::DrainReport, Duration), Failure> {
    let signals = server::watch_signals(shutdown.clone())
        .map_err(|error| Failure::CouldNotRun(format!("signals cannot be listened for: {error}")))?;
    let handle = engine.handle();
    let (routes, health) = routes(&handle, reconcile).await.map_err(Failure::CouldNotRun)?;
    health.set_serving(*handle.store_up().borrow()).await;
    let follower = tokio::spawn(follow_store(handle.store_up(), health.clone()));

    let bound = listener
        .local_addr()
        .map_err(|error| Failure::CouldNotRun(format!("the listening address is not known: {error}")))?;
    tracing::info!(%bound, database = about.database, version = env!("CARGO_PKG_VERSION"), "serving");
    // Before it is said on stdout: whoever reads it there may ask at once.
    told.serves(&health);
    // Somebody may start it with stdout closed: it serves all the same.
    let _ = announce(out, bound, &about, told.admin);
    let drain_timeout = options.drain_timeout;
    let around = (about.door.security, told.meters.clone());
    let served = server::serve(listener, routes, options, around, health, shutdown).await;
    follower.abort();
    signals.abort();
    served.map(|report| (report, drain_timeout)).map_err(|refused| Failure::CouldNotRun(refused.to_string()))
}

/// Health says what the engine's probe of the database says.
async fn follow_store(mut store_up: watch::Receiver<bool>, health: Health) {
    loop {
        let is_up = *store_up.borrow_and_update();
        health.set_serving(is_up).await;
        if store_up.changed().await.is_err() {
            return;
        }
    }
}

/// The first line is for programs that started this one; the rest is for people.
fn announce(
    out: &mut Out,
    bound: SocketAddr,
    about: &About,
    admin: Option<SocketAddr>,
) -> std::io::Result<()> {
    out.line(format!("listening on {bound}"))?;
    out.line(format!("database: {}", about.database))?;
    if let Some(admin) = admin {
        out.line(format!("admin: http://{admin}/metrics"))?;
    }
    if let Some(keys) = &about.keys {
        out.line(keys)?;
    }
    for line in &about.door.said {
        out.line(line)?;
    }
    out.line("")?;
    out.line(out.paint().dim("# try it: credit user 1, charge a task, look at the balance"))?;
    for line in examples(reachable(bound), &about.door.grpcurl) {
        out.line(line)?;
    }
    out.line("")
}

/// Three calls that work as printed, in this order, and again: each is a replay the second time.
fn examples(address: SocketAddr, flags: &str) -> [String; 3] {
    let call = |method: &str, json: &str| {
        format!("grpcurl {flags} -d '{json}' {address} scrip.v1.BillingService/{method}")
    };
    [
        call(
            "Credit",
            r#"{"request_id":"first-credit","user_id":1,"amount":1000,"purse":"PURSE_POINTS","source_type":"SOURCE_TYPE_RECHARGE"}"#,
        ),
        call(
            "Charge",
            r#"{"user_id":1,"task_id":"first-task","amount":30,"app_name":"fal-ai/flux/schnell"}"#,
        ),
        call("GetBalance", r#"{"user_id":1}"#),
    ]
}

fn farewell(connections_cut: usize, is_drained: bool) -> String {
    let mut cut = Vec::new();
    match connections_cut {
        0 => {}
        1 => cut.push("1 connection was cut".to_owned()),
        many => cut.push(format!("{many} connections were cut")),
    }
    if !is_drained {
        cut.push("commands still in the engine were not waited for".to_owned());
    }
    if cut.is_empty() { "stopped".to_owned() } else { format!("stopped: {}", cut.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farewell_says_what_was_cut() {
        assert_eq!(farewell(0, true), "stopped");
        assert_eq!(farewell(1, true), "stopped: 1 connection was cut");
        let worst = "stopped: 3 connections were cut; commands still in the engine were not waited for";
        assert_eq!(farewell(3, false), worst);
    }

    #[test]
    fn the_examples_are_quoted_for_a_shell() {
        for line in examples("127.0.0.1:7".parse().unwrap(), "-plaintext") {
            assert_eq!(line.matches('\'').count(), 2, "{line}");
            let json = line.split('\'').nth(1).unwrap();
            serde_json::from_str::<serde_json::Value>(json).unwrap();
            assert!(line.contains(" 127.0.0.1:7 scrip.v1.BillingService/"), "{line}");
        }
    }
}
