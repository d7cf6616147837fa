//! Processes that the run starts: their output goes to a file, and none outlives the harness.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::support::postgres::on_path;

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where its stdout and stderr are appended.
    pub(crate) log: PathBuf,
}

/// A running one.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&[self.pid], name);
    }

    /// Waits for its end; `None` when it does not come.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(within, self.child.wait()).await.ok()?.ok()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.ok();
    }
}

/// Sends a signal by name to these, as far as they are there. The shell's own `kill`: from here it would need unsafe code
/// or one more crate.
pub(crate) fn signal(pids: &[u32], name: &str) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    std::process::Command::new("sh")
        .args(["-c", &format!("kill -{name} {} 2>/dev/null", pids.join(" "))])
        .stdin(Stdio::null())
        .status()
        .ok();
}

/// The processes that these started, theirs, and so on: all of a PostgreSQL by its first.
pub(crate) fn with_children(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // After the name in parentheses, which may hold anything: the state, then the parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    family
}

/// Starts programs from a thread that lives as long as the harness: the parent-death signal is bound to the thread, and
/// the runtime's threads may end before.
#[derive(Clone)]
pub(crate) struct Spawner {
    send: mpsc::Sender<(Command, tokio::sync::oneshot::Sender<io::Result<Child>>)>,
    /// Where the ids of all that were started are noted, for whoever cleans up.
    started: PathBuf,
}

impl Spawner {
    pub(crate) fn start(started: PathBuf) -> Self {
        let (send, receive) = mpsc::channel::<(Command, tokio::sync::oneshot::Sender<io::Result<Child>>)>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            while let Ok((mut command, answer)) = receive.recv() {
                answer.send(command.spawn()).ok();
            }
        });
        Self { send, started }
    }

    pub(crate) async fn spawn(&self, program: &Program) -> io::Result<Process> {
        let (answer, child) = tokio::sync::oneshot::channel();
        self.send.send((command(program)?, answer)).map_err(|_| io::Error::other("the spawner has ended"))?;
        let child = child.await.map_err(|_| io::Error::other("the spawner has ended"))??;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let mut started = OpenOptions::new().create(true).append(true).open(&self.started)?;
        writeln!(started, "{pid}")?;
        Ok(Process { child, pid })
    }

    /// Runs it to its end; killed when that takes too long.
    pub(crate) async fn run(&self, program: &Program, within: Duration) -> io::Result<ExitStatus> {
        let mut process = self.spawn(program).await?;
        match process.ended(within).await {
            Some(status) => Ok(status),
            None => {
                process.kill().await;
                Err(io::Error::other(format!("no end within {within:?}")))
            }
        }
    }
}

fn command(program: &Program) -> io::Result<Command> {
    let mut command = match on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&program.path);
            command
        }
        None => Command::new(&program.path),
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SCRIP_")) {
            command.env_remove(name);
        }
    }
    let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
    command
        .args(&program.arguments)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// What a file holds, as text.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
