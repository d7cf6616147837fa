//! The real binary as a process of its own, for tests that want a socket, signals and crashes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

/// What the server prints before the address it bound.
const LISTENING: &str = "listening on ";

/// How to start a server.
#[derive(Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// `scrip serve` on a port of the kernel's choice.
    pub fn new(database_url: &str) -> Launch {
        let arguments = ["serve", "--database-url", database_url, "--listen", "127.0.0.1:0"];
        Launch {
            program: PathBuf::from(env!("CARGO_BIN_EXE_scrip")),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
        }
    }

    /// The database's URL where no other process reads it, and where one with a password belongs.
    pub fn url_by_environment(mut self) -> Launch {
        let flag = self.arguments.iter().position(|word| word == "--database-url").expect("--database-url");
        let url = self.arguments.drain(flag..flag + 2).next_back().expect("its value");
        self.env("SCRIP_DATABASE_URL", url)
    }

    /// Another program in the server's place: how these helpers are tested themselves.
    pub fn stand_in(program: &str, arguments: &[&str]) -> Launch {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Launch { program: PathBuf::from(program), arguments, environment: Vec::new() }
    }

    /// Listens at this address: a server that comes back where its clients knew it.
    pub fn listen(mut self, addr: SocketAddr) -> Launch {
        let value = self.arguments.iter().position(|word| word == "--listen").expect("serve --listen") + 1;
        self.arguments[value] = addr.to_string();
        self
    }

    /// One more word of the command line.
    pub fn arg(mut self, word: impl Into<String>) -> Launch {
        self.arguments.push(word.into());
        self
    }

    /// One more environment variable. All `SCRIP_…` of the developer's own are left out.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Launch {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it and returns once it has said where it listens; panics with its log when it ends before.
    pub async fn start(self) -> ScripProcess {
        self.try_start().await.unwrap_or_else(|refused| {
            panic!("the server ended before it listened ({}):\n{}", refused.status, refused.logs)
        })
    }

    /// As `start`, for a server that may well refuse to: how it ended and what it said.
    pub async fn try_start(self) -> Result<ScripProcess, Refused> {
        let directory =
            tempfile::Builder::new().prefix("scrip-server-").tempdir().expect("a temporary directory");
        let log = directory.path().join("log");
        let (mut child, keeper) = spawn_kept(self.command(&log));
        let (said, addr) = tokio::sync::oneshot::channel();
        let stdout = child.stdout.take().expect("a piped stdout");
        tokio::spawn(follow(stdout, log.clone(), said));
        let addr = tokio::time::timeout(super::STUCK_AFTER, addr);
        match addr.await.unwrap_or_else(|_| panic!("it never said where it listens:\n{}", read(&log))) {
            Ok(addr) => Ok(ScripProcess { child, addr, log, _directory: directory, _keeper: keeper }),
            // Its stdout has ended without the line.
            Err(_) => {
                let status = child.wait().await.expect("wait");
                Err(Refused { status, logs: read(&log) })
            }
        }
    }

    fn command(&self, log: &Path) -> Command {
        // Killed when the thread that starts it ends, which is at the latest with the test process.
        let mut command = match super::postgres::on_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SCRIP_")) {
                command.env_remove(name);
            }
        }
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("the log file");
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        command
    }
}

/// A server that ended before it listened.
#[derive(Debug)]
pub struct Refused {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it printed.
    pub logs: String,
}

/// A running server, killed on drop.
#[derive(Debug)]
pub struct ScripProcess {
    child: Child,
    addr: SocketAddr,
    log: PathBuf,
    _directory: tempfile::TempDir,
    /// The thread that started the child lives as long as this.
    _keeper: mpsc::Sender<()>,
}

impl ScripProcess {
    /// Starts `scrip serve` on this database with nothing but its defaults.
    pub async fn start(database_url: &str) -> ScripProcess {
        Launch::new(database_url).start().await
    }

    /// The address it listens at.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where a tonic client connects to.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.addr)).expect("an address is a URL")
    }

    /// One connection to it, made now.
    pub async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap_or_else(|why| panic!("cannot connect: {why}\n{}", self.logs()))
    }

    /// A channel that connects when first used, and again whenever the connection is lost.
    pub fn lazy_channel(&self) -> Channel {
        self.endpoint().connect_lazy()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a process that was not waited for")
    }

    /// Kills it as a power cut would, and returns when it is gone.
    pub async fn kill9(&mut self) -> ExitStatus {
        self.child.start_kill().expect("SIGKILL");
        self.wait().await
    }

    /// Asks it to stop; `wait` for the end.
    pub async fn sigterm(&self) {
        self.signal("TERM").await;
    }

    /// Sends it any signal by name.
    pub async fn signal(&self, name: &str) {
        // The shell's own `kill`: sending a signal from here would need unsafe code or one more crate.
        let script = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &script]).status().await.expect("sh");
        assert!(status.success(), "{script}: {status}");
    }

    /// Waits for its end and answers how it ended.
    pub async fn wait(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(super::STUCK_AFTER, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the server does not end:\n{}", self.logs())).expect("wait")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("try_wait").is_none()
    }

    /// Everything it has printed so far, on stdout and stderr.
    pub fn logs(&self) -> String {
        read(&self.log)
    }
}

/// Starts the command from a thread that lives until the sender is dropped. The parent-death signal is bound to
/// the thread, and libtest's threads and tokio's workers end long before the test process does.
fn spawn_kept(mut command: Command) -> (Child, mpsc::Sender<()>) {
    let (keeper, kept) = mpsc::channel::<()>();
    let (started, child) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let entered = runtime.enter();
        let child = command.spawn();
        drop(entered);
        drop(runtime);
        started.send(child).ok();
        kept.recv().ok();
    });
    let child = child.recv().expect("the keeper's answer");
    (child.unwrap_or_else(|why| panic!("the server did not start: {why}")), keeper)
}

/// Reads stdout to its end, or the server would block on a full pipe, and keeps it in the log.
async fn follow(
    stdout: tokio::process::ChildStdout,
    log: PathBuf,
    said: tokio::sync::oneshot::Sender<SocketAddr>,
) {
    let mut said = Some(said);
    let mut file = tokio::fs::OpenOptions::new().append(true).open(log).await.expect("the log file");
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.expect("stdout is text") {
        file.write_all(format!("{line}\n").as_bytes()).await.expect("the log file");
        file.flush().await.expect("the log file");
        if let Some(addr) = line.strip_prefix(LISTENING).and_then(|rest| rest.trim().parse().ok())
            && let Some(said) = said.take()
        {
            said.send(addr).ok();
        }
    }
}

fn read(log: &Path) -> String {
    std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
