//! A real PostgreSQL for tests: a throw-away cluster made with the installed `initdb`, never a mock.
//!
//! `local` starts it and takes it away again, however the test process ends.

#[path = "postgres_local.rs"]
mod local;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

use self::local::{Local, Tools};
#[allow(unused_imports, reason = "each test takes what it needs")]
pub use self::local::{on_path, require_server};

/// Points the suite at a server that is there already; the tests create databases named `scrip_test_…` on it
/// and leave them.
pub const URL_VARIABLE: &str = "SCRIP_TEST_DATABASE_URL";
/// Set to 1, the tests that need PostgreSQL say aloud that they did not run.
pub const SKIP_VARIABLE: &str = "SCRIP_TEST_SKIP_POSTGRES";

/// A program that is given the name of each new database on the server of `URL_VARIABLE`, and may do what that server needs
/// before the tables are there: scripts/citus.sh distributes it.
pub const PREPARE_VARIABLE: &str = "SCRIP_TEST_PREPARE";

/// The cluster that all tests of one test binary share, each in a database of its own (`fresh_database`).
/// `None` only under `SCRIP_TEST_SKIP_POSTGRES=1`, and then it has been said aloud.
pub fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    if skipped() {
        return None;
    }
    Some(SHARED.get_or_init(|| match std::env::var(URL_VARIABLE) {
        Ok(url) if !url.is_empty() => Cluster { url, local: None, own: false },
        _ => Cluster { own: false, ..Cluster::start_local(&[]) },
    }))
}

fn skipped() -> bool {
    let skip = std::env::var(SKIP_VARIABLE).is_ok_and(|value| value == "1");
    if skip {
        super::say_not_run("it needs PostgreSQL, and SCRIP_TEST_SKIP_POSTGRES=1 is set");
    }
    skip
}

/// A PostgreSQL server: one started here and thrown away on drop, or the one `SCRIP_TEST_DATABASE_URL` names.
pub struct Cluster {
    /// Of a database that is always there, to create others from.
    url: String,
    /// What was started here; `None` for somebody else's server.
    local: Option<Arc<Local>>,
    /// Whether the test alone uses it, and so may stop it.
    own: bool,
}

impl Cluster {
    /// Starts a cluster for one test alone, which may stop and restart it. It is throw-away even when
    /// `SCRIP_TEST_DATABASE_URL` is set: nobody's server is stopped for a test.
    /// `None` only under `SCRIP_TEST_SKIP_POSTGRES=1`, and then it has been said aloud.
    pub fn start() -> Option<Cluster> {
        Self::start_with(&[])
    }

    /// As `start`, with further lines of `postgresql.conf`; they win over the defaults here.
    pub fn start_with(settings: &[(&str, &str)]) -> Option<Cluster> {
        (!skipped()).then(|| Self::start_local(settings))
    }

    fn start_local(settings: &[(&str, &str)]) -> Cluster {
        let local = Local::start(settings);
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", local.port);
        Cluster { url, local: Some(Arc::new(local)), own: true }
    }

    /// A cluster of its own, made by `pg_basebackup` of this one, which runs on: started as after a crash.
    pub async fn base_backup(&self) -> Cluster {
        self.copy(false).await
    }

    /// A hot standby of this one, which streams from it; `pg_ctl promote` makes it a primary.
    pub async fn standby(&self) -> Cluster {
        self.copy(true).await
    }

    async fn copy(&self, is_standby: bool) -> Cluster {
        self.back_up(is_standby).await.start("").await
    }

    /// What `pg_basebackup` makes of this one, which runs on.
    pub async fn back_up(&self, is_standby: bool) -> Backup {
        let of = Arc::clone(self.local.as_ref().expect("started here"));
        let copied = tokio::task::spawn_blocking(move || Local::copy_of(&of, is_standby));
        Backup(copied.await.expect("pg_basebackup"))
    }

    /// One of PostgreSQL's programs (`pg_dump`), run as the server's user; `None` where it is not beside the server.
    pub fn program(&self, name: &str) -> Option<Command> {
        let tools = &self.local().tools;
        tools.directory.join(name).is_file().then(|| tools.command(name))
    }

    /// The URL of a database of this server, over TCP.
    pub fn url(&self, database: &str) -> String {
        with_database(&self.url, database)
    }

    /// The URL of a database over the unix socket of a cluster that was started here.
    pub fn socket_url(&self, database: &str) -> String {
        let local = self.local();
        let directory = local.root.to_str().expect("a printable temporary directory");
        format!("postgres://postgres@localhost:{}/{database}?host={directory}&sslmode=disable", local.port)
    }

    /// Where the server listens: the upstream of a `CutProxy`.
    pub fn addr(&self) -> SocketAddr {
        let options: sqlx::postgres::PgConnectOptions = self.url.parse().expect("a PostgreSQL URL");
        (options.get_host(), options.get_port())
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .unwrap_or_else(|| panic!("{URL_VARIABLE} must name a host and a port for this test"))
    }

    /// Creates an empty database.
    pub async fn create_database(&self, name: &str) {
        let mut admin = connect(&self.url).await;
        // template0: nobody can be connected to it, which would refuse the copy.
        let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE template0");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.expect("CREATE DATABASE");
        admin.close().await.expect("close");
        if let Some(program) = std::env::var_os(PREPARE_VARIABLE).filter(|_| self.local.is_none()) {
            let prepared = Command::new(program).arg(name).stdin(Stdio::null()).status().expect("it starts");
            assert!(prepared.success(), "{PREPARE_VARIABLE} failed on {name}");
        }
    }

    /// Creates an empty database under a name nobody else uses and answers its URL.
    pub async fn fresh_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Random too: another machine's suite may use the same server.
        let salt = RandomState::new().hash_one(number) as u32;
        let name = format!("scrip_test_{}_{number}_{salt:08x}", std::process::id());
        self.create_database(&name).await;
        self.url(&name)
    }

    /// Stops the server as a crash would: no checkpoint, every session dropped, recovery at the next start.
    pub async fn stop_immediate(&self) {
        self.pg_ctl(&["stop", "-m", "immediate"]).await;
    }

    /// Starts the server again at the same address, stopped or not, and returns once it takes connections.
    pub async fn restart(&self) {
        self.pg_ctl(&["restart", "-m", "fast"]).await;
    }

    /// Calls `pg_ctl` on a cluster of one's own and waits until what it asks for is so, or says why it is not: for a
    /// test in which it may well not be.
    pub async fn try_pg_ctl(&self, arguments: &[&str]) -> Result<(), String> {
        self.may_disturb();
        let local = Arc::clone(self.local.as_ref().expect("started here"));
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let ran = tokio::task::spawn_blocking(move || local.pg_ctl(&arguments));
        ran.await.unwrap_or_else(|why| Err(why.to_string()))
    }

    /// The first process of a cluster that was started here; `None` while it is down.
    pub fn postmaster(&self) -> Option<u32> {
        let pid = std::fs::read_to_string(self.local().data().join("postmaster.pid")).ok()?;
        pid.lines().next()?.trim().parse().ok()
    }

    /// Ends every client session of a cluster of one's own, and answers how many there were.
    pub async fn kill_backends(&self) -> u64 {
        self.may_disturb();
        self.terminate("true").await
    }

    /// Ends every session of the database that `url` names (one of a shared cluster, say).
    pub async fn kill_backends_of(&self, url: &str) -> u64 {
        let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a PostgreSQL URL");
        let database = options.get_database().expect("a URL with a database");
        self.terminate(&format!("datname = '{database}'")).await
    }

    /// What the server of a cluster that was started here has logged.
    pub fn log(&self) -> String {
        self.local().log()
    }

    /// The directory of a cluster that was started here.
    pub fn directory(&self) -> &Path {
        &self.local().root
    }

    async fn terminate(&self, which: &str) -> u64 {
        let mut admin = connect(&self.url).await;
        // With a limit pg_terminate_backend returns only once the session is gone.
        let sql = format!(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 60000)) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {which}"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut admin).await.expect("terminate");
        admin.close().await.expect("close");
        u64::try_from(row.get::<i64, _>(0)).expect("a count")
    }

    async fn pg_ctl(&self, arguments: &[&str]) {
        self.may_disturb();
        let local = Arc::clone(self.local.as_ref().expect("started here"));
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        // Off the runtime's threads: the test's own load goes on meanwhile.
        tokio::task::spawn_blocking(move || local.pg_ctl(&arguments).unwrap_or_else(|why| panic!("{why}")))
            .await
            .expect("pg_ctl");
    }

    fn local(&self) -> &Local {
        self.local.as_deref().unwrap_or_else(|| panic!("not possible on the server of {URL_VARIABLE}"))
    }

    fn may_disturb(&self) {
        assert!(self.own, "other tests use the shared cluster: this one needs its own Cluster::start()");
    }
}

/// A base backup that no server has been started on yet.
pub struct Backup(Local);

impl Backup {
    /// Restores up to a moment, in PostgreSQL's own words for it, from the WAL that this command gets.
    pub async fn restore(self, until: &str, restore_command: &str) -> Cluster {
        std::fs::write(self.0.data().join("recovery.signal"), "").expect("recovery.signal");
        self.start(&format!(
            "restore_command = '{restore_command}'\nrecovery_target_time = '{until}'\n\
             recovery_target_action = 'promote'\n"
        ))
        .await
    }

    async fn start(self, lines: &str) -> Cluster {
        let Backup(mut local) = self;
        local.configure(lines);
        let started = tokio::task::spawn_blocking(move || {
            local.start_somewhere();
            local
        });
        let local = started.await.expect("pg_ctl start");
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", local.port);
        Cluster { url, local: Some(Arc::new(local)), own: true }
    }
}

/// A plain connection, for what a test wants to see or do behind the service's back.
pub async fn connect(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a PostgreSQL URL");
    options.connect().await.unwrap_or_else(|why| panic!("cannot connect to {url}: {why}"))
}

/// A program that is run as the user that PostgreSQL runs under here: for one that refuses to run as root, too.
pub fn unprivileged(program: &Path) -> Command {
    let tools = Tools::find().unwrap_or_else(|why| panic!("{why}"));
    tools.command(program.to_str().expect("a printable path"))
}

/// The same database reached through another address (a proxy in front of the server).
pub fn through(url: &str, addr: SocketAddr) -> String {
    let (scheme, authority, rest) = split(url);
    let user = authority.rfind('@').map_or("", |at| &authority[..=at]);
    format!("{scheme}{user}{addr}{rest}")
}

fn with_database(url: &str, database: &str) -> String {
    let (scheme, authority, rest) = split(url);
    let query = rest.find('?').map_or("", |at| &rest[at..]);
    format!("{scheme}{authority}/{database}{query}")
}

/// Into `postgres://`, `user@host:port` and `/database?query`.
fn split(url: &str) -> (&str, &str, &str) {
    let authority = url.find("://").expect("a URL with a scheme") + 3;
    let rest = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    (&url[..authority], &url[authority..rest], &url[rest..])
}
