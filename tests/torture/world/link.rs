//! A loopback proxy for one link: passes bytes on, and on demand slowly, not at all, or up to a random byte after which
//! the connection is reset.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::chance::Chance;

const CHUNK: usize = 16 * 1024;
/// A connection is reset after so many bytes of one direction at most.
const MOST_BYTES: i64 = 12_000;

/// A running proxy; dropping it closes its connections.
pub(crate) struct Link {
    address: SocketAddr,
    faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Faults {
    /// Each piece of bytes waits so long, in milliseconds.
    delay_millis: AtomicU64,
    /// Connections are reset after a random number of bytes.
    resets: AtomicBool,
    /// How many were.
    reset: AtomicU64,
    /// Rises when every connection there is is to be reset now.
    cuts: AtomicU64,
    seed: AtomicU64,
    changed: Notify,
}

impl Link {
    /// Listens on a free port of the loopback for connections to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let faults = Arc::new(Faults { seed: AtomicU64::new(seed), ..Faults::default() });
        let accepting = tokio::spawn(accept(listener, upstream, Arc::clone(&faults)));
        Ok(Self { address, faults, accepting })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn slow(&self, millis: u64) {
        self.faults.delay_millis.store(millis, Ordering::Relaxed);
    }

    /// Those that are open as well as those to come.
    pub(crate) fn reset(&self, on: bool) {
        self.faults.resets.store(on, Ordering::Relaxed);
        self.faults.changed.notify_waiters();
    }

    /// Resets what is open, now.
    pub(crate) fn cut(&self) {
        self.faults.cuts.fetch_add(1, Ordering::Relaxed);
        self.faults.changed.notify_waiters();
    }

    pub(crate) fn resets(&self) -> u64 {
        self.faults.reset.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The connections' tasks belong to the accepting one and end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, faults: Arc<Faults>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let faults = Arc::clone(&faults);
        connections.spawn(async move {
            // Whoever is away looks to the client like one that hangs up, which is what it is.
            if let Ok(server) = TcpStream::connect(upstream).await {
                serve(client, server, &faults).await;
            }
        });
    }
}

async fn serve(client: TcpStream, server: TcpStream, faults: &Faults) {
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    // Closed with a reset, not in good order, if it comes to that.
    let abrupt = [socket2::SockRef::from(&client).try_clone(), socket2::SockRef::from(&server).try_clone()];
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let was_reset = tokio::select! {
        biased;
        was_reset = pass(from_client, to_server, faults) => was_reset,
        was_reset = pass(from_server, to_client, faults) => was_reset,
    };
    if was_reset {
        faults.reset.fetch_add(1, Ordering::Relaxed);
        for socket in abrupt.into_iter().flatten() {
            socket.set_linger(Some(Duration::ZERO)).ok();
        }
    }
}

/// One direction; true if it came to its last byte.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, faults: &Faults) -> bool {
    let mut buffer = vec![0; CHUNK];
    let mut left: Option<usize> = None;
    let cuts = faults.cuts.load(Ordering::Relaxed);
    loop {
        let read = tokio::select! {
            biased;
            () = faults.changed.notified() => None,
            read = from.read(&mut buffer) => Some(read),
        };
        if faults.cuts.load(Ordering::Relaxed) != cuts {
            return true;
        }
        if !faults.resets.load(Ordering::Relaxed) {
            left = None;
        } else if left.is_none() {
            let seed = faults.seed.fetch_add(1, Ordering::Relaxed);
            let bytes = Chance::stream(seed, 77).between(0, MOST_BYTES);
            left = usize::try_from(bytes).ok();
        }
        let Some(read) = read else { continue };
        let Ok(length @ 1..) = read else { return false };
        let delay = faults.delay_millis.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let passed = left.map_or(length, |left| left.min(length));
        if to.write_all(&buffer[..passed]).await.is_err() {
            return false;
        }
        if let Some(rest) = &mut left {
            *rest -= passed;
            if passed < length || *rest == 0 {
                return true;
            }
        }
    }
}
