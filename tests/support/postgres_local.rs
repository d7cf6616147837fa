//! The throw-away cluster itself: where PostgreSQL's programs are, its directory, its configuration, and who takes it away.
//!
//! A watchdog process of its own holds the reading end of a pipe from the test process. However that process
//! ends (return, panic, `exit`, `kill -9`), the kernel closes the pipe, and the watchdog stops PostgreSQL and
//! removes its directory. A parent-death signal would not do: it fires when the *thread* that started the
//! child ends, and libtest runs each test in a thread of its own.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::{SKIP_VARIABLE, URL_VARIABLE};

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

/// A cluster that was started here.
pub(super) struct Local {
    pub(super) tools: Tools,
    pub(super) root: PathBuf,
    pub(super) port: u16,
    /// Its stdin is the pipe whose end it waits for.
    watchdog: Mutex<Child>,
}

impl Local {
    pub(super) fn start(settings: &[(&str, &str)]) -> Local {
        let mut local = Local::prepare();
        local.initialise(settings);
        local.start_somewhere();
        local
    }

    pub(super) fn copy_of(of: &Local, is_standby: bool) -> Local {
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

    pub(super) fn start_somewhere(&mut self) {
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
    pub(super) fn configure(&self, lines: &str) {
        use std::io::Write;
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("postgresql.conf");
        file.write_all(lines.as_bytes()).expect("postgresql.conf");
    }

    /// Runs `pg_ctl` and waits until what it asks for is so (`-w` polls the server itself).
    pub(super) fn pg_ctl(&self, arguments: &[String]) -> Result<(), String> {
        let mut command = self.tools.command("pg_ctl");
        command.args(arguments).args(["-s", "-w", "-t", "120", "-D"]).arg(self.data());
        if arguments[0] != "stop" {
            command.arg("-l").arg(self.root.join("log"));
        }
        run(&mut command).map_err(|why| format!("{why}\nlog of the server:\n{}", self.log()))
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn log(&self) -> String {
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
pub(super) struct Tools {
    pub(super) directory: PathBuf,
    /// What goes before each program to run it without root's rights, which PostgreSQL refuses.
    prefix: Vec<String>,
    owner: Option<(u32, u32)>,
}

impl Tools {
    pub(super) fn find() -> Result<Tools, String> {
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

    pub(super) fn command(&self, program: &str) -> Command {
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
