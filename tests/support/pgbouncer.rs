//! A real PgBouncer in transaction mode before a test's PostgreSQL: each transaction goes to whichever of a few server
//! sessions is free, so that two of one client are seldom in the same.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{eventually, postgres};

/// Ends PgBouncer when the test process ends, however it does: its stdin is closed then.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
"$@" </dev/null &
pid=$!
while read -r _; do :; done
kill "$pid"
wait "$pid"
"#;

/// A running PgBouncer; dropping it ends it.
pub struct PgBouncer {
    addr: SocketAddr,
    watchdog: Child,
    directory: TempDir,
}

impl PgBouncer {
    /// Starts one before this server, with so many server sessions a database; `None` where it is not installed, which
    /// has then been said aloud. No parameter that it does not know is ignored.
    pub async fn start(server: SocketAddr, pool_size: u32) -> Option<PgBouncer> {
        let Some(program) = find() else {
            crate::support::say_not_run("PgBouncer is not installed (Debian: apt-get install pgbouncer)");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        // It runs as another user where the tests are root.
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), readable).expect("permissions");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let addr = free.local_addr().expect("a bound address");
        drop(free);
        let config = format!(
            "[databases]\n* = host={} port={} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 500\n\
             server_idle_timeout = 60\n",
            server.ip(),
            server.port(),
            addr.port()
        );
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, config).expect("pgbouncer.ini");
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let pgbouncer = postgres::unprivileged(&program);
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "scrip-test-pgbouncer"])
            .arg(pgbouncer.get_program())
            .args(pgbouncer.get_args())
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sh for PgBouncer");
        let started = PgBouncer { addr, watchdog, directory };
        eventually("PgBouncer listens", async || TcpStream::connect(addr).await.is_ok()).await;
        Some(started)
    }

    /// A database of the server behind it, reached through it, as scrip is told of it.
    pub fn url(&self, direct: &str) -> String {
        let url = postgres::through(direct, self.addr);
        format!("{url}{}pgbouncer=true", if url.contains('?') { '&' } else { '?' })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).expect("a log")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

fn find() -> Option<PathBuf> {
    let packaged = Path::new("/usr/sbin/pgbouncer");
    postgres::on_path("pgbouncer").or_else(|| packaged.is_file().then(|| packaged.to_owned()))
}
