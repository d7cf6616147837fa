//! The server under a flood: the real binary, its memory, and what its log says at the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::certificates::Authority;
use crate::support::server::{Launch, ScripProcess};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Linux counts memory in pages; of 4 KiB on the machines scrip is built for.
const PAGE_BYTES: u64 = 4_096;

pub(crate) struct World {
    pub(crate) server: ScripProcess,
    _folder: TempDir,
    /// What signed the server's certificate, where there is one.
    authority: Option<Authority>,
}

impl World {
    /// A fresh server with nothing but its defaults, over TLS or not; on a SQLite file of its own unless told.
    pub(crate) async fn start(
        scrip: &Path,
        url: Option<&str>,
        tls: bool,
        words: &[&str],
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|why| why.to_string())?;
        let file = format!("sqlite://{}", folder.path().join("scrip.db").display());
        let program = scrip.to_str().ok_or("a path that is no text")?;
        let mut arguments = vec!["serve", "--database-url", url.unwrap_or(&file), "--listen", "127.0.0.1:0"];
        arguments.extend(words);
        let mut launch = Launch::stand_in(program, &arguments);
        let authority = tls.then(|| Authority::new("floods"));
        if let Some(authority) = &authority {
            let (cert, key) = authority.server(2050).write(folder.path(), "server");
            let text = |path: PathBuf| path.display().to_string();
            launch = launch.env("SCRIP_TLS_CERT", text(cert)).env("SCRIP_TLS_KEY", text(key));
        }
        let server = launch.try_start().await.map_err(|refused| refused.logs)?;
        Ok(Self { server, _folder: folder, authority })
    }

    /// Likewise, with these variables.
    pub(crate) async fn start_with(scrip: &Path, environment: &[(&str, String)]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|why| why.to_string())?;
        let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
        let program = scrip.to_str().ok_or("a path that is no text")?;
        let words = ["serve", "--database-url", &url, "--listen", "127.0.0.1:0"];
        let launch = Launch::stand_in(program, &words);
        let launch = environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let server = launch.try_start().await.map_err(|refused| refused.logs)?;
        Ok(Self { server, _folder: folder, authority: None })
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Result<Channel, String> {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        let said = |why: tonic::transport::Error| format!("cannot connect: {why}");
        let mut endpoint =
            Endpoint::from_shared(format!("{scheme}://{}", self.server.addr())).map_err(said)?;
        if let Some(authority) = &self.authority {
            let tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(authority.pem()))
                .domain_name("localhost");
            endpoint = endpoint.tls_config(tls).map_err(said)?;
        }
        endpoint.connect().await.map_err(said)
    }

    /// Memory of the machine that the server takes, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident(self.server.pid())
    }

    /// From now on, the most that it takes.
    pub(crate) fn watch(&self) -> Watch {
        let (pid, most) = (self.server.pid(), Arc::new(AtomicU64::new(0)));
        let seen = Arc::clone(&most);
        let looking = tokio::spawn(async move {
            loop {
                seen.fetch_max(resident(pid), Ordering::Relaxed);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Watch { most, looking }
    }

    /// Asks it to stop; what went wrong with that, or is in its log and should not be.
    pub(crate) async fn end(mut self, keep: Option<(&Path, &str)>) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.server.is_running() {
            self.server.sigterm().await;
            let status = self.server.wait().await;
            if !status.success() {
                wrong.push(format!("it ended with {status}"));
            }
        } else {
            wrong.push("it had ended".to_owned());
        }
        let logs = self.server.logs();
        if let Some((folder, name)) = keep {
            std::fs::create_dir_all(folder).ok();
            std::fs::write(folder.join(format!("{name}.log")), &logs).ok();
        }
        let bad = |line: &&str| line.contains("panic") || line.contains("\"level\":\"ERROR\"");
        wrong.extend(logs.lines().filter(bad).take(3).map(str::to_owned));
        wrong
    }
}

/// Looks at the memory until it is dropped.
pub(crate) struct Watch {
    most: Arc<AtomicU64>,
    looking: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * PAGE_BYTES
}
