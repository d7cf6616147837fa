//! A real PostgreSQL for tests: a throw-away cluster made with the installed `initdb`, never a mock.
//!
//! A watchdog process of its own holds the reading end of a pipe from the test process. However that process
//! ends (return, panic, `exit`, `kill -9`), the kernel closes the pipe, and the watchdog stops PostgreSQL and
//! removes its directory. A parent-death signal would not do: it fires when the *thread* that started the
//! child ends, and libtest runs each test in a thread of its own.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

/// Points the suite at a server that is there already; the tests create databases named `scrip_test_…` on it
/// and leave them.
pub const URL_VARIABLE: &str = "SCRIP_TEST_DATABASE_URL";
/// Set to 1, the tests that need PostgreSQL say aloud that they did not run.
pub const SKIP_VARIABLE: &str = "SCRIP_TEST_SKIP_POSTGRES";

/// A program that is given the name of each new database on the server of `URL_VARIABLE`, and may do what that server needs
/// before the tables are there: scripts/citus.sh distributes it.
pub const PREPARE_VARIABLE: &str = "SCRIP_TEST_PREPARE";

const OLDEST_MAJOR: u32 = 14;

/// Waits for the end of the test process (end of file on stdin), then takes the cluster down and away.
/// `$1` is the cluster's directory, the rest is how to call `pg_ctl` as the user it runs under.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
root=$1
shift
while read -r _; do :; done
if [ -f "$root/data/postmaster.pid" ]; then
    pid=$(head -n 1 "$root/data/postmaster.pid")
    "$@" stop -s -w -t 60 -m immediate -D "$root/data" || kill -KILL "$pid"
fi
rm -rf -- "$root"
"#;

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

/// A cluster that was started here.
struct Local {
    tools: Tools,
    root: PathBuf,
    port: u16,
    /// Its stdin is the pipe whose end it waits for.
    watchdog: Mutex<Child>,
}

impl Local {
    fn start(settings: &[(&str, &str)]) -> Local {
        let mut local = Local::prepare();
        local.initialise(settings);
        local.start_somewhere();
        local
    }

    fn copy_of(of: &Local, is_standby: bool) -> Local {
        let local = Local::prepare();
        let mut backup = local.tools.command("pg_basebackup");
        backup.args(["--host=127.0.0.1", "--username=postgres", "--checkpoint=fast", "--wal-method=stream"]);
        backup.arg(format!("--port={}", of.port)).arg("-D").arg(local.data());
        if is_standby {
            // Writes standby.signal, and where the primary is.
            backup.arg("--write-recovery-conf");
        }
        run(&mut backup).unwrap_or_else(|why| panic!("{why}"));
        let socket_directory = local.root.to_str().expect("a printable temporary directory");
        local.configure(&format!("unix_socket_directories = '{socket_directory}'\n"));
        local
    }

    /// A directory, and who takes it away; nothing in it yet.
    fn prepare() -> Local {
        let tools = Tools::find().unwrap_or_else(|why| panic!("{why}"));
        let root =
            tempfile::Builder::new().prefix("scrip-pg-").tempdir().expect("a temporary directory").keep();
        if let Some((uid, gid)) = tools.owner {
            std::os::unix::fs::chown(&root, Some(uid), Some(gid)).expect("chown as root");
        }
        let watchdog = Mutex::new(start_watchdog(&tools, &root));
        Local { tools, root, port: 0, watchdog }
    }

    fn start_somewhere(&mut self) {
        // A port that was free may be taken before the server binds it: then another one is tried.
        for attempt in 1.. {
            self.port = free_port();
            self.configure(&format!("port = {}\n", self.port));
            match self.pg_ctl(&["start".to_owned()]) {
                Ok(()) => break,
                Err(why) => {
                    let taken = attempt < 10 && why.contains("Address already in use");
                    assert!(taken, "{why}");
                    std::fs::remove_file(self.root.join("log")).expect("the log of the failed start");
                }
            }
        }
    }

    fn initialise(&self, settings: &[(&str, &str)]) {
        // --no-sync spares the flush of a fresh template, not of anything a test commits.
        let mut initdb = self.tools.command("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        run(initdb.arg(self.data())).unwrap_or_else(|why| panic!("{why}"));

        let socket_directory = self.root.to_str().expect("a printable temporary directory");
        let defaults = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", socket_directory),
            ("max_connections", "200"),
            // What is acknowledged must survive the crash tests, as in production.
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("shared_buffers", "64MB"),
        ];
        let lines: String = defaults
            .iter()
            .chain(settings)
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect();
        self.configure(&lines);
    }

    /// Appends to `postgresql.conf`, where the last line of a name wins.
    fn configure(&self, lines: &str) {
        use std::io::Write;
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("postgresql.conf");
        file.write_all(lines.as_bytes()).expect("postgresql.conf");
    }

    /// Runs `pg_ctl` and waits until what it asks for is so (`-w` polls the server itself).
    fn pg_ctl(&self, arguments: &[String]) -> Result<(), String> {
        let mut command = self.tools.command("pg_ctl");
        command.args(arguments).args(["-s", "-w", "-t", "120", "-D"]).arg(self.data());
        if arguments[0] != "stop" {
            command.arg("-l").arg(self.root.join("log"));
        }
        run(&mut command).map_err(|why| format!("{why}\nlog of the server:\n{}", self.log()))
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn log(&self) -> String {
        std::fs::read(self.root.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let watchdog = self.watchdog.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Closing its stdin is all it waits for; and when it has ended, everything is gone.
        drop(watchdog.stdin.take());
        watchdog.wait().ok();
    }
}

/// Where PostgreSQL's programs are and whom they run as.
struct Tools {
    directory: PathBuf,
    /// What goes before each program to run it without root's rights, which PostgreSQL refuses.
    prefix: Vec<String>,
    owner: Option<(u32, u32)>,
}

impl Tools {
    fn find() -> Result<Tools, String> {
        let directory = require_server(&Self::candidates()).to_owned();
        if output_of("id", &["-u"]).as_deref() != Some("0") {
            return Ok(Tools { directory, prefix: Vec::new(), owner: None });
        }
        let (user, uid, gid) = ["postgres", "nobody"]
            .into_iter()
            .find_map(|user| {
                let uid = output_of("id", &["-u", user])?.parse().ok()?;
                let gid = output_of("id", &["-g", user])?.parse().ok()?;
                Some((user, uid, gid))
            })
            .ok_or("running as root, and neither user postgres nor nobody is there to run PostgreSQL as")?;
        let prefix = if on_path("setpriv").is_some() {
            format!("setpriv --reuid {uid} --regid {gid} --clear-groups --")
        } else if on_path("runuser").is_some() {
            format!("runuser -u {user} --")
        } else {
            return Err("running as root, and neither setpriv nor runuser (util-linux) is there".to_owned());
        };
        let prefix = prefix.split(' ').map(str::to_owned).collect();
        Ok(Tools { directory, prefix, owner: Some((uid, gid)) })
    }

    /// Directories to look in, best first. The PATH may hold links into the real directory or a lone binary
    /// without its share files, so links are followed and a directory counts only with all three programs.
    fn candidates() -> Vec<PathBuf> {
        let on_path = path_directories().into_iter().filter_map(|directory| {
            let initdb = directory.join("initdb").canonicalize().ok()?;
            Some(initdb.parent()?.to_owned())
        });
        let configured = output_of("pg_config", &["--bindir"]).map(PathBuf::from);
        let mut packaged: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
            })
            .collect();
        packaged.sort_by(|one, other| other.cmp(one));
        on_path.chain(configured).chain(packaged.into_iter().map(|(_, directory)| directory)).collect()
    }

    fn command(&self, program: &str) -> Command {
        let program = self.directory.join(program);
        let mut command = match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        // Nothing of the developer's own PostgreSQL may leak in (PGDATA, PGPORT, PGOPTIONS, …).
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        // The server's user may not be allowed where the tests run.
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }
}

/// The first of these directories that holds a whole server, new enough; panics with a sentence that says what
/// to install where none does.
pub fn require_server(candidates: &[PathBuf]) -> &Path {
    candidates.iter().find(|directory| holds_server(directory)).unwrap_or_else(|| {
        let places: Vec<_> = candidates.iter().map(|place| place.display().to_string()).collect();
        panic!(
            "PostgreSQL {OLDEST_MAJOR} or newer was not found (initdb, postgres and pg_ctl in one directory), and \
             this test runs against a real one. Install it (Debian: apt-get install postgresql), or set \
             {URL_VARIABLE} to a server's URL, or {SKIP_VARIABLE}=1 to leave such tests out. Looked in: {}",
            places.join(", ")
        )
    })
}

fn start_watchdog(tools: &Tools, root: &Path) -> Child {
    let pg_ctl = tools.command("pg_ctl");
    Command::new("sh")
        .args(["-c", WATCHDOG, "scrip-test-watchdog"])
        .arg(root)
        .arg(pg_ctl.get_program())
        .args(pg_ctl.get_args())
        .current_dir("/")
        // Out of the terminal's group: Ctrl-C ends the tests, and the watchdog has work to do then.
        .process_group(0)
        .stdin(Stdio::piped())
        // Never the test's own: whoever reads those to their end would wait for the watchdog.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh for the watchdog")
}

fn holds_server(directory: &Path) -> bool {
    let complete = ["initdb", "postgres", "pg_ctl"].iter().all(|program| directory.join(program).is_file());
    let version = || output_of(directory.join("postgres").to_str()?, &["--version"]);
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    complete
        && version()
            .and_then(|line| {
                line.split(' ').nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
            })
            .is_some_and(|major| major >= OLDEST_MAJOR)
}

/// A port that nothing listens on, below the range from which the kernel takes ports for outgoing connections:
/// while a stopped server is away nobody is given its port by chance.
fn free_port() -> u16 {
    let start = RandomState::new().hash_one(std::process::id()) % 17_000;
    (0..17_000_u64)
        .map(|step| 15_000 + u16::try_from((start + step) % 17_000).expect("below 17,000"))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a free port on the loopback")
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|why| format!("{command:?} did not start: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{said}", output.status))
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn path_directories() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The program of that name on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    path_directories().into_iter().map(|directory| directory.join(program)).find(|path| path.is_file())
}
