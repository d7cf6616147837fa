//! Connections that have not said yet what they are: how many there may be, and who makes room.
//!
//! Without a bound whoever opens sockets and says nothing could keep everybody else waiting for as long as a silent
//! connection may last, and a handshake that never goes on costs memory. At the cap of connections the one that has been
//! silent longest makes room; at the cap of silent ones likewise, but only once it had a second: many that come at once
//! and mean it, as after a restart, wait for one another instead.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// What each gets to say what it is, however many come.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those that there are, by the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Greeting(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    all: Mutex<BTreeMap<u64, (Instant, CancellationToken)>>,
    left: Notify,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    number: u64,
    leave: CancellationToken,
    greeting: Greeting,
}

impl Greeting {
    /// A tenth of all connections, and at least 64, may be silent at once.
    pub(super) fn of(max_connections: usize) -> Self {
        Self::at_most((max_connections / 10).max(64))
    }

    fn at_most(most: usize) -> Self {
        Self(Arc::new(Inner { most, all: Mutex::default(), left: Notify::new() }))
    }

    /// A connection that has come; numbers grow.
    pub(super) fn enter(&self, number: u64) -> Guest {
        let leave = CancellationToken::new();
        self.all().insert(number, (Instant::now(), leave.clone()));
        Guest { number, leave, greeting: self.clone() }
    }

    /// Asks the oldest to leave, if there is one.
    pub(super) fn make_room(&self) {
        // Out of the lock before anything is woken.
        let oldest = self.all().pop_first();
        if let Some((_, (_, leave))) = oldest {
            leave.cancel();
        }
    }

    /// Returns when there is room for one more.
    pub(super) async fn room(&self) {
        loop {
            let oldest = {
                let all = self.all();
                match all.first_key_value() {
                    Some((_, (came, _))) if all.len() >= self.0.most => *came,
                    _ => return,
                }
            };
            if oldest.elapsed() >= PATIENCE {
                return self.make_room();
            }
            // A permit of one who left meanwhile is kept, so that none is missed.
            let _ = timeout_at(oldest + PATIENCE, self.0.left.notified()).await;
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, (Instant, CancellationToken)>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// What comes of its greeting; `None` as well if it has to leave before.
    pub(super) async fn greeted<T>(self, greeting: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.leave.cancelled() => None,
            greeted = greeting => greeted,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.greeting.all().remove(&self.number);
        self.greeting.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_oldest_that_is_still_silent_makes_room() {
        let greeting = Greeting::at_most(3);
        let (first, second, third) = (greeting.enter(1), greeting.enter(2), greeting.enter(3));
        assert_eq!(
            first.greeted(ready(Some(7))).await,
            Some(7),
            "it has spoken, and is none of them any more"
        );
        greeting.make_room();
        assert_eq!(second.greeted(pending::<Option<()>>()).await, None);
        assert_eq!(third.greeted(ready(Some(8))).await, Some(8));
        greeting.make_room();
    }

    #[tokio::test(start_paused = true)]
    async fn past_their_cap_the_oldest_has_a_second_and_whoever_speaks_makes_room_at_once() {
        let greeting = Greeting::at_most(2);
        let began = Instant::now();
        let (first, second) = (greeting.enter(1), greeting.enter(2));
        tokio::join!(greeting.room(), async { drop(second) });
        assert_eq!(began.elapsed(), Duration::ZERO, "one has spoken");
        let _third = greeting.enter(3);
        let waiting = first.greeted(pending::<Option<()>>());
        assert_eq!(tokio::join!(greeting.room(), waiting), ((), None));
        assert_eq!(began.elapsed(), PATIENCE, "the oldest had its second");
    }
}
