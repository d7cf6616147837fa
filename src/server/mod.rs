//! The listening side: from a TCP listener to tonic's `Routes` and back, bounded everywhere, stoppable at any time.
//!
//! Phases of a process: [`bind`] → [`Health::new`] and [`add_reflection`] beside the services → [`serve`]. Phases of
//! a connection: slot → TLS, where there is any → preface → HTTP/2 → GOAWAY → over (`accept`, `connection`). Phases of a call: access log →
//! deadline → who calls (`auth`) → size → panic guard → handler (`layer`). Phases of stopping, in [`serve`]: health says NOT_SERVING →
//! the listener closes → every connection gets GOAWAY, open streams end → what was accepted is answered → whatever
//! is left at `drain_timeout` is cut and counted.
//!
//! Why not tonic's own server: its accept loop spins when descriptors run out, has no cap on connections and waits
//! for ever for a peer that never says anything; its timeouts answer CANCELLED.

mod accept;
pub mod auth;
mod bind;
mod connection;
mod descriptors;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod greeting;
mod grpc_timeout;
mod health;
mod layer;
mod options;
mod preface;
mod reflection;
mod shutdown;
mod signals;
mod status;
pub mod tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

pub use self::bind::{BindError, bind, parse_listen};
pub use self::connection::Peer;
pub use self::descriptors::connections_within_limit;
pub use self::health::Health;
pub use self::layer::access_log::Note;
pub use self::layer::deadline::Deadline;
pub use self::options::{MAX_MESSAGE_BYTES, OptionsError, ServerOptions};
pub use self::reflection::{ReflectionError, add_reflection};
pub use self::shutdown::Shutdown;
pub use self::signals::watch_signals;

use self::accept::{Listen, accept_until_drain};
use self::auth::Guard;
use self::connection::{Ended, drive, jittered, preface};
use self::greeting::{Greeting, Guest};
use self::tls::Tls;
use crate::meter::Meters;

/// How long cut connections get to notice. They need one turn of the scheduler each; a handler that blocks its
/// thread must not turn a hard end into a soft one.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// How the stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections open when the drain began.
    pub connections_open: usize,
    /// Connections closed by force, because the drain's time was up or it was cut short. Zero is a clean stop.
    pub connections_cut: usize,
    /// From the beginning of the drain to the end of the last connection.
    pub took: Duration,
}

/// Who may connect and call.
#[derive(Clone, Debug)]
pub struct Security {
    /// Judges each call.
    pub guard: Guard,
    /// What connections are encrypted with; `None`: they are not.
    pub tls: Option<Tls>,
}

impl Security {
    /// None at all: for tests of what lies behind it.
    pub fn none() -> Self {
        Self { guard: Guard::open(), tls: None }
    }
}

/// Serves `routes` on `listener` until `shutdown` is given and the drain is over.
///
/// Add health and reflection to the routes before; `health` is the handle the drain flips. Returns an error at once
/// if the options cannot serve, and otherwise when no connection is left.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    options: ServerOptions,
    (security, meters): (Security, Meters),
    health: Health,
    shutdown: Shutdown,
) -> Result<DrainReport, OptionsError> {
    options.validate()?;
    Ok(serve_on(listener, routes, options, (security, &meters), health, shutdown).await)
}

async fn serve_on<L>(
    listener: L,
    routes: Routes,
    options: ServerOptions,
    (security, meters): (Security, &Meters),
    health: Health,
    shutdown: Shutdown,
) -> DrainReport
where
    L: Listen,
    L::Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // Apart from the order as given, so that health can turn before anything else hears of it.
    let phases = Shutdown::new();
    let connections = TaskTracker::new();
    let cut = Arc::new(AtomicUsize::new(0));
    let (slots, greeting) =
        (Arc::new(Semaphore::new(options.max_connections)), Greeting::of(options.max_connections));
    let stack = layer::stack(routes, &options, security.guard, &phases, meters);
    meters.connections().limited(options.max_connections);
    let options = Arc::new(options);
    let number = AtomicU64::new(0);
    let accepting = accept_until_drain(listener, (slots, greeting.clone()), &phases, |io, address, slot| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let guest = greeting.enter(number);
        let age = options.max_connection_age.map(|age| jittered(age, options.connection_age_seed, number));
        let (stack, options, phases, cut) = (stack.clone(), options.clone(), phases.follower(), cut.clone());
        let (tls, open) = (security.tls.clone(), meters.connections().accepted());
        connections.spawn(async move {
            let (_slot, _open) = (slot, open);
            let ended = one(io, (Peer { address }, guest), (stack, tls), &options, &phases, age).await;
            if ended == Ended::Cut {
                cut.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    let turn = async {
        shutdown.draining().await;
        health.drain().await;
        phases.begin_drain();
    };
    tokio::join!(accepting, turn);

    let began = Instant::now();
    let connections_open = connections.len();
    connections.close();
    tracing::info!(connections_open, timeout = ?options.drain_timeout, "draining");
    let all_over = tokio::select! {
        biased;
        () = connections.wait() => true,
        () = shutdown.cutting() => false,
        () = tokio::time::sleep(options.drain_timeout) => false,
    };
    if !all_over {
        phases.cut();
        if tokio::time::timeout(AFTER_CUT, connections.wait()).await.is_err() {
            // They end with the process; what is left of them is counted as cut all the same.
            cut.fetch_add(connections.len(), Ordering::Relaxed);
        }
    }
    let report =
        DrainReport { connections_open, connections_cut: cut.load(Ordering::Relaxed), took: began.elapsed() };
    tracing::info!(connections_cut = report.connections_cut, took = ?report.took, "drained");
    report
}

/// One connection, from its socket to its end. What it needs once it speaks is not kept for one that does not: each step
/// is boxed.
async fn one<Io>(
    io: Io,
    (peer, guest): (Peer, Guest),
    (stack, tls): (layer::Stack, Option<Tls>),
    options: &ServerOptions,
    phases: &Shutdown,
    age: Option<Duration>,
) -> Ended
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = tls else {
        return match guest.greeted(preface(io, peer, options, phases)).await {
            Some(io) => Box::pin(drive(io, (peer, None), stack, options, phases, age)).await,
            None => Ended::Unborn,
        };
    };
    let greeting = Box::pin(async {
        let (io, presented) = tls.greet(io, peer, options.tls_handshake_timeout, phases).await?;
        Some((preface(io, peer, options, phases).await?, presented))
    });
    match guest.greeted(greeting).await {
        Some((io, presented)) => Box::pin(drive(io, (peer, presented), stack, options, phases, age)).await,
        None => Ended::Unborn,
    }
}
