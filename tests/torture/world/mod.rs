//! What is tortured: servers, their database, the links between, and the fake fal, set up and taken down as one.

pub(crate) mod database;
mod guard;
pub(crate) mod link;
pub(crate) mod process;
pub(crate) mod replica;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use scrip::fal::fake::FakeFal;
use tokio::task::JoinHandle;

use crate::options::{Options, StoreKind};
use crate::support::client::KEK;
use crate::support::cut_proxy::CutProxy;
use crate::support::postgres::{Cluster, on_path, through};
use database::{Database, Disk};
use guard::Guard;
use link::Link;
use process::{Program, Spawner};
use replica::{Plan, Replica, free_port, keep_running};

/// What the database's own file system holds at most.
const DISK_BYTES: u64 = 6 << 30;
const STARTS_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) replicas: Arc<Vec<Replica>>,
    pub(crate) database: Database,
    pub(crate) fal: FakeFal,
    /// The database's file system; `None` where none could be made, and then `not_run` says so.
    pub(crate) disk: Option<Disk>,
    pub(crate) spawner: Spawner,
    /// A process is stopped just now.
    pub(crate) paused: AtomicBool,
    /// The run is too short for what takes longer than a turn.
    pub(crate) is_short: bool,
    /// Faults that cannot be done here, each with the reason.
    pub(crate) not_run: Vec<(&'static str, String)>,
    scrip: PathBuf,
    operator: JoinHandle<()>,
    /// Last: it takes away what the others use.
    pub(crate) guard: Guard,
}

impl World {
    pub(crate) async fn start(options: &Options) -> Result<Self, String> {
        let (guard, refusal) = Guard::start(DISK_BYTES).map_err(|why| format!("a folder: {why}"))?;
        let mut not_run = Vec::new();
        if let Some(why) = refusal {
            not_run.push(("disk-full", format!("no file system could be mounted: {why}")));
        }
        let database = make_database(options, &guard).await?;
        let fal = FakeFal::start().await.map_err(|why| format!("the fake fal: {why}"))?;
        let spawner = Spawner::start(guard.root().join("started"));
        let faketime = find_faketime();
        if faketime.is_none() {
            let why = "libfaketime is not installed (Debian: apt-get install faketime)";
            not_run.push(("clock-step", why.to_owned()));
        }
        let mut replicas = Vec::new();
        for number in 0..options.replicas {
            let base = (options, &guard, &database, &fal, &spawner);
            replicas.push(make_replica(number, base, faketime.as_deref()).await?);
        }
        let replicas = Arc::new(replicas);
        let disk = guard.mount().map(|mount| Disk::new(mount.to_owned(), DISK_BYTES));
        let operator = tokio::spawn(keep_running(Arc::clone(&replicas)));
        let is_short = options.minutes < 3.0;
        let world = Self {
            replicas,
            database,
            fal,
            disk,
            spawner,
            paused: AtomicBool::new(false),
            is_short,
            not_run,
            scrip: options.scrip.clone(),
            operator,
            guard,
        };
        for replica in world.replicas.iter() {
            replica.want().await;
            if !replica.listens(STARTS_WITHIN).await {
                return Err(format!(
                    "replica {} does not start:\n{}",
                    replica.number,
                    process::read(&replica.log)
                ));
            }
        }
        Ok(world)
    }

    /// Where the clients of each replica connect.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.link.address()).collect()
    }

    /// The folder of the run, for logs.
    pub(crate) fn folder(&self) -> &Path {
        self.guard.root()
    }

    /// `scrip` with these arguments on the database itself.
    pub(crate) fn command(&self, arguments: &[&str], log: &str) -> Program {
        Program {
            path: self.scrip.clone(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            environment: vec![("SCRIP_DATABASE_URL".to_owned(), self.database.url())],
            log: self.folder().join(log),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.operator.abort();
    }
}

async fn make_database(options: &Options, guard: &Guard) -> Result<Database, String> {
    match options.store {
        StoreKind::Sqlite => {
            let folder = guard.disk().join("sqlite");
            std::fs::create_dir(&folder).map_err(|why| why.to_string())?;
            Ok(Database::Sqlite(folder.join("scrip.db")))
        }
        StoreKind::Postgres => {
            // The cluster makes its folder where temporary ones go.
            tempfile::env::override_temp_dir(&guard.disk()).map_err(|_| "the folder for temporary files")?;
            let settings = [
                ("max_wal_size", "128MB"),
                // Each segment of the log needs room of its own: a full disk is met there as well.
                ("wal_recycle", "off"),
                ("min_wal_size", "32MB"),
                ("autovacuum_naptime", "5s"),
            ];
            let cluster = tokio::task::spawn_blocking(move || Cluster::start_with(&settings));
            let cluster = cluster.await.map_err(|why| format!("PostgreSQL: {why}"))?;
            let cluster = cluster.ok_or("PostgreSQL is left out by SCRIP_TEST_SKIP_POSTGRES")?;
            cluster.create_database("torture").await;
            let url = cluster.url("torture");
            Ok(Database::Postgres(Box::new(cluster), url))
        }
    }
}

async fn make_replica(
    number: usize,
    (options, guard, database, fal, spawner): (&Options, &Guard, &Database, &FakeFal, &Spawner),
    faketime: Option<&str>,
) -> Result<Replica, String> {
    let seed = options.seed ^ (number as u64) << 32;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let failed = |why: std::io::Error| format!("a proxy: {why}");
    let link = Link::start(address, seed).await.map_err(failed)?;
    let mut url = database.url();
    let mut wire = None;
    if let Some(cluster) = database.cluster() {
        let cut = CutProxy::start(cluster.addr()).await;
        let outer = Link::start(cut.addr(), seed ^ 1).await.map_err(failed)?;
        url = through(&url, outer.address());
        wire = Some((outer, cut));
    }
    // One of them tells all that it does: more to find a secret in. In a long run alone, that would be a lot.
    let tells_all = number == 0 && (options.replicas > 1 || options.minutes < 3.0);
    let level = if tells_all { "info,scrip=debug" } else { "info" };
    let mut environment = vec![
        ("SCRIP_KEK".to_owned(), KEK.to_owned()),
        ("SCRIP_DATABASE_URL".to_owned(), url),
        ("SCRIP_FAL_BASE_URL".to_owned(), fal.base_url()),
        ("SCRIP_FAL_ALLOW_LOOPBACK".to_owned(), "true".to_owned()),
        ("SCRIP_BILLING_LAG".to_owned(), "0s".to_owned()),
        ("SCRIP_DRAIN_TIMEOUT".to_owned(), "10s".to_owned()),
        ("SCRIP_LOG".to_owned(), level.to_owned()),
        ("SCRIP_LOG_FORMAT".to_owned(), "json".to_owned()),
        ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
    ];
    // One replica's wall clock can be stepped: that of the last.
    let clock = faketime.filter(|_| number + 1 == options.replicas).map(|library| {
        let file = guard.root().join("clock");
        environment.extend(clock_environment(library, &file));
        file
    });
    if let Some(file) = &clock {
        std::fs::write(file, "+0\n").map_err(|why| why.to_string())?;
    }
    // Listened at while nobody else could be given it: it is free until the server takes it.
    let listen = address.to_string();
    let program = Program {
        path: options.scrip.clone(),
        arguments: ["serve", "--listen", &listen].map(str::to_owned).to_vec(),
        environment,
        log: guard.root().join(format!("replica-{number}.log")),
    };
    Ok(Replica::new(Plan { number, address, link, database: wire, clock, program, spawner: spawner.clone() }))
}

/// The wall clock is read through the library and is off by what the file says, looked at once a second; the monotonic
/// clock stays as it is.
fn clock_environment(library: &str, file: &Path) -> Vec<(String, String)> {
    let file = file.to_str().unwrap_or_default().to_owned();
    [
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Where Debian keeps it.
fn find_faketime() -> Option<String> {
    on_path("faketime")?;
    let places = std::fs::read_dir("/usr/lib").ok()?;
    let found = places.flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    found.filter(|path| path.is_file()).find_map(|path| path.to_str().map(str::to_owned))
}
