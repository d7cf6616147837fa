//! The accept loop: takes connections off the listener, no more than the cap, and never spins.
//!
//! Phases of one turn: a connection → a free slot → hand it on. At the cap the connection that has been silent longest
//! makes room; where all have spoken the new one waits for a slot, and those after it in the kernel's backlog. When the
//! system has no file descriptor or memory left, the loop pauses for growing times, since `accept` would fail again at once
//! for as long as that lasts. A drain ends the loop and closes the listener.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Shutdown;
use super::greeting::Greeting;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come from: TCP, or a script in the tests.
pub(super) trait Listen: Send {
    /// One connection.
    type Io: Send + 'static;

    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Answers are small and complete when written: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY refused");
        }
        Ok((stream, peer))
    }
}

/// Accepts until the drain begins. `start` gets each connection with its slot, and frees the slot by dropping it.
pub(super) async fn accept_until_drain<L, F>(
    mut listener: L,
    (slots, greeting): (Arc<Semaphore>, Greeting),
    shutdown: &Shutdown,
    mut start: F,
) where
    L: Listen,
    F: FnMut(L::Io, SocketAddr, OwnedSemaphorePermit),
{
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((io, peer)) => {
                trouble.over();
                // Only now that somebody has come is room made.
                let slot = tokio::select! {
                    biased;
                    () = shutdown.draining() => return,
                    slot = free_slot(&slots, &greeting) => slot,
                };
                start(io, peer, slot);
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                let pause = trouble.pause(&error);
                tokio::select! {
                    biased;
                    () = shutdown.draining() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

async fn free_slot(slots: &Arc<Semaphore>, greeting: &Greeting) -> OwnedSemaphorePermit {
    greeting.room().await;
    if let Ok(slot) = slots.clone().try_acquire_owned() {
        return slot;
    }
    tracing::debug!("at the connection cap: accepting again when one closes");
    greeting.make_room();
    slots.clone().acquire_owned().await.expect("the semaphore is never closed")
}

/// Errors of the connection being accepted, not of the listener: the next `accept` may well succeed.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A run of failures to accept: pauses double up to a second, and the log hears of its beginning and its end only.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
}

impl Trouble {
    fn pause(&mut self, error: &io::Error) -> Duration {
        if self.failures == 0 {
            tracing::error!(%error, "cannot accept connections; trying again, ever more slowly");
        }
        // 2^7 × 10 ms is past the longest pause already; capping the exponent keeps the shift in range.
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(7)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "accepting connections again");
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::*;

    /// Answers from a script, then stays silent. Counts how often it was asked.
    struct Script {
        answers: VecDeque<io::Result<u32>>,
        asked: Arc<AtomicUsize>,
    }

    impl Listen for Script {
        type Io = u32;

        async fn accept(&mut self) -> io::Result<(u32, SocketAddr)> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.answers.pop_front() {
                Some(answer) => answer.map(|io| (io, SocketAddr::from(([127, 0, 0, 1], 1)))),
                None => std::future::pending().await,
            }
        }
    }

    fn emfile() -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(24))
    }

    /// Runs the loop over a script until it has started `until` connections; gives what it started.
    async fn run(answers: Vec<io::Result<u32>>, cap: usize, until: usize) -> (Vec<u32>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let script = Script { answers: answers.into(), asked: asked.clone() };
        let shutdown = Shutdown::new();
        let mut started = Vec::new();
        let order = shutdown.clone();
        let slots = (Arc::new(Semaphore::new(cap)), Greeting::of(1));
        accept_until_drain(script, slots, &shutdown, |io, _, slot| {
            slot.forget();
            started.push(io);
            if started.len() == until {
                order.begin_drain();
            }
        })
        .await;
        (started, asked.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn running_out_of_descriptors_pauses_ever_longer_and_then_goes_on() {
        let before = Instant::now();
        let mut answers: Vec<_> = (0..10).map(|_| emfile()).collect();
        answers.push(Ok(7));
        let (started, asked) = run(answers, 1, 1).await;
        assert_eq!((started, asked), (vec![7], 11));
        // The clock is paused, so this is the sum of the pauses exactly: 10 + 20 + … + 640 ms, then 3 × 1 s.
        assert_eq!(before.elapsed(), Duration::from_millis(10 * 127 + 3_000));
    }

    #[tokio::test(start_paused = true)]
    async fn one_aborted_connection_delays_nobody() {
        let before = Instant::now();
        let aborted = Err(io::ErrorKind::ConnectionAborted.into());
        let (started, _) = run(vec![aborted, Ok(1), Ok(2)], 2, 2).await;
        assert_eq!(started, [1, 2]);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_cap_one_waits_and_the_listener_is_not_asked_for_more() {
        let asked = Arc::new(AtomicUsize::new(0));
        let script = Script { answers: VecDeque::from([Ok(1), Ok(2), Ok(3), Ok(4)]), asked: asked.clone() };
        let shutdown = Shutdown::new();
        let held = std::sync::Mutex::new(Vec::new());
        let slots = (Arc::new(Semaphore::new(2)), Greeting::of(1));
        let accepting =
            accept_until_drain(script, slots, &shutdown, |_, _, slot| held.lock().unwrap().push(slot));
        let counts = || (asked.load(Ordering::SeqCst), held.lock().unwrap().len());
        let check = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(counts(), (3, 2));
            held.lock().unwrap().pop();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(counts(), (4, 2));
            shutdown.begin_drain();
        };
        tokio::join!(accepting, check);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_the_loop_even_in_a_pause() {
        let shutdown = Shutdown::new();
        let script = Script { answers: VecDeque::from([emfile()]), asked: Arc::default() };
        let slots = (Arc::new(Semaphore::new(1)), Greeting::of(1));
        let accepting = accept_until_drain(script, slots, &shutdown, |_, _, _| {});
        tokio::join!(accepting, async { shutdown.begin_drain() });
    }
}
