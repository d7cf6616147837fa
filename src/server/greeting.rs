//! Connections that have not said yet what they are: at the cap, the one that has been silent longest makes room.
//!
//! Without it whoever opens sockets and says nothing could keep everybody else waiting for as long as a silent connection
//! may last. A client that means it needs a moment, and is among the newest for that long.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Those that there are, by the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting(Arc<Mutex<BTreeMap<u64, CancellationToken>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    number: u64,
    leave: CancellationToken,
    greeting: Greeting,
}

impl Greeting {
    /// A connection that has come; numbers grow.
    pub(super) fn enter(&self, number: u64) -> Guest {
        let leave = CancellationToken::new();
        self.all().insert(number, leave.clone());
        Guest { number, leave, greeting: self.clone() }
    }

    /// Asks the oldest to leave, if there is one.
    pub(super) fn make_room(&self) {
        // Out of the lock before anything is woken.
        let oldest = self.all().pop_first();
        if let Some((_, leave)) = oldest {
            leave.cancel();
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_oldest_that_is_still_silent_makes_room() {
        let greeting = Greeting::default();
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
}
