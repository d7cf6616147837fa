//! Servers as processes of their own: started, reached, watched for memory, stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::stage::Database;

/// What each of them prints once it can be called.
pub const LISTENING: &str = "listening on ";
/// How long one may take to start, migrations included.
const START: Duration = Duration::from_secs(60);

/// A connection that shows the caller's token with each call.
pub type Link = InterceptedService<Channel, Bearer>;

/// Shows a token, as callers of scrip do in production; whoever asks for none does not look.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub struct Server {
    token: String,
    child: Child,
    addr: SocketAddr,
    /// From the start of the process to its first line.
    pub started_in: Duration,
}

impl Server {
    /// `scrip serve` on this database, which wants to know who calls and keeps its metrics.
    pub async fn scrip(database: &Database, more: &[&str]) -> Self {
        let mut command = Command::new(scrip());
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--database-url", &database.url]);
        command.args(["--auth", "required", "--admin-listen", "127.0.0.1:0"]);
        Self { token: database.token.clone(), ..Self::start(command.args(more)).await }
    }

    /// This program in another role.
    pub async fn role(words: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        Self::start(command.args(words)).await
    }

    async fn start(command: &mut Command) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SCRIP_")) {
                command.env_remove(name);
            }
        }
        // A key of no use to anybody: some contenders lease keys.
        command.env("SCRIP_KEK", format!("bench:{}", "5".repeat(64)));
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = tokio::time::timeout(START, lines.next_line()).await.expect("it starts in time");
        let started_in = began.elapsed();
        let first = first.expect("text").expect("a server that says where it listens; its log is above");
        let addr =
            first.strip_prefix(LISTENING).and_then(|addr| addr.trim().parse().ok()).expect("an address");
        // What else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { token: String::new(), child, addr, started_in }
    }

    pub async fn channel(&self) -> Link {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr)).expect("an address is a URL");
        let endpoint = endpoint.tcp_nodelay(true).initial_stream_window_size(1 << 20);
        let endpoint = endpoint.initial_connection_window_size(4 << 20);
        let bearer = format!("Bearer {}", self.token).parse().expect("a token");
        Link::new(endpoint.connect().await.expect("a connection"), Bearer(bearer))
    }

    pub async fn channels(&self, count: usize) -> Vec<Link> {
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(self.channel().await);
        }
        channels
    }

    /// Resident memory now, and at most so far, in KiB.
    pub fn memory_kib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// In good order: what was accepted is answered.
    pub async fn stop(mut self) {
        let stopped = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().await;
        if stopped.is_ok_and(|status| status.success()) {
            tokio::time::timeout(START, self.child.wait()).await.ok();
        }
        self.child.start_kill().ok();
        self.child.wait().await.ok();
    }
}

/// The release binary: beside this program, as one target directory holds both, or where `SCRIP_BINARY` says.
pub fn scrip() -> PathBuf {
    let beside = || std::env::current_exe().expect("this program").with_file_name("scrip");
    std::env::var_os("SCRIP_BINARY").map_or_else(beside, PathBuf::from)
}

/// Runs a command of scrip to its end; answers what it printed.
pub async fn run_scrip(words: &[&str]) -> String {
    let run = Command::new(scrip()).args(words).stderr(Stdio::inherit()).output().await.expect("scrip runs");
    assert!(run.status.success(), "scrip {words:?}: {}", run.status);
    String::from_utf8(run.stdout).expect("text").trim().to_owned()
}
