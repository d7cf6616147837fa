//! One server: the real binary at a fixed address behind a proxy, and the operator's hand that starts it again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::link::Link;
use super::process::{Process, Program, Spawner};
use crate::support::cut_proxy::CutProxy;

/// A drain may take so long; a server that is asked to stop and does not is killed, and that is said.
const STOPS_WITHIN: Duration = Duration::from_secs(25);

pub(crate) struct Replica {
    pub(crate) number: usize,
    /// Where it listens itself.
    pub(crate) address: SocketAddr,
    /// What its clients connect to.
    pub(crate) link: Link,
    /// What it reaches its database through, if that has a wire; the outer one is slow or resets, the inner one loses
    /// COMMITs.
    pub(crate) database: Option<(Link, CutProxy)>,
    pub(crate) log: PathBuf,
    /// What its wall clock is off by is read from here, if it has one that can be stepped.
    pub(crate) clock: Option<PathBuf>,
    program: Program,
    spawner: Spawner,
    process: Mutex<Option<Process>>,
    /// Whether the operator wants it to run.
    wanted: AtomicBool,
    /// So often it was started.
    starts: AtomicU64,
    /// How often it did not stop when it was asked to.
    stuck: AtomicU64,
}

/// How a replica is made.
pub(crate) struct Plan {
    pub(crate) number: usize,
    pub(crate) address: SocketAddr,
    pub(crate) link: Link,
    pub(crate) database: Option<(Link, CutProxy)>,
    pub(crate) clock: Option<PathBuf>,
    pub(crate) program: Program,
    pub(crate) spawner: Spawner,
}

impl Replica {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            number: plan.number,
            address: plan.address,
            link: plan.link,
            database: plan.database,
            log: plan.program.log.clone(),
            clock: plan.clock,
            program: plan.program,
            spawner: plan.spawner,
            process: Mutex::new(None),
            wanted: AtomicBool::new(false),
            starts: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
        }
    }

    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    pub(crate) fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    /// From now on it is started whenever it does not run, at once if it does not.
    pub(crate) async fn want(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        self.ensure().await;
    }

    /// Starts it if it is wanted and does not run. One that cannot start, its database being away, is tried again by
    /// the next call.
    pub(crate) async fn ensure(&self) {
        let mut process = self.process.lock().await;
        if !self.wanted.load(Ordering::SeqCst) || process.as_mut().is_some_and(Process::is_running) {
            return;
        }
        *process = self.spawner.spawn(&self.program).await.ok();
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// Kills it as a power cut would, and leaves it down until it is wanted again.
    pub(crate) async fn kill(&self) {
        self.wanted.store(false, Ordering::SeqCst);
        if let Some(mut process) = self.process.lock().await.take() {
            process.kill().await;
        }
    }

    /// Asks it to stop, as a rolling update does, and waits for the end.
    pub(crate) async fn stop(&self) {
        self.wanted.store(false, Ordering::SeqCst);
        let Some(mut process) = self.process.lock().await.take() else { return };
        if !process.is_running() {
            return;
        }
        process.signal("TERM");
        if process.ended(STOPS_WITHIN).await.is_none() {
            self.stuck.fetch_add(1, Ordering::Relaxed);
            process.kill().await;
        }
    }

    /// Its process id, if it runs.
    pub(crate) async fn pid(&self) -> Option<u32> {
        let mut process = self.process.lock().await;
        process.as_mut().and_then(|process| process.is_running().then_some(process.pid()))
    }

    /// Waits until it takes connections.
    pub(crate) async fn listens(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// The operator: whatever is wanted and has ended is started again, until dropped.
pub(crate) async fn keep_running(replicas: Arc<Vec<Replica>>) {
    loop {
        for replica in replicas.iter() {
            replica.ensure().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A port that no outgoing connection of the kernel's is given: below its range for them. Each call answers another.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = u64::from(std::process::id());
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(6_000 + (start + step) % 9_000).expect("a port");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
