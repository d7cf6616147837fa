//! The order to stop, as a handle that whoever gives it and whoever obeys it share.
//!
//! Phases, each entered once and never left: **serving** → **draining** (accept nothing new, answer what was
//! accepted) → **cutting** (close what is left, now). Whoever holds a clone may begin a phase or await it.

use tokio_util::sync::CancellationToken;

/// A shared handle to the phases of stopping. Clones are the same order.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Shutdown {
    /// A new order, not yet given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins draining. Doing it again changes nothing.
    pub fn begin_drain(&self) {
        self.drain.cancel();
    }

    /// Ends everything at once: draining begins if it had not, and is not waited for.
    pub fn cut(&self) {
        self.drain.cancel();
        self.cut.cancel();
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Completes when draining begins, at once if it already has.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Completes when it is time to close whatever is left.
    pub async fn cutting(&self) {
        self.cut.cancelled().await;
    }

    /// A handle that follows this one but which nobody else awaits, so that thousands of connections polling
    /// theirs do not meet on one lock.
    pub(super) fn follower(&self) -> Self {
        Self { drain: self.drain.child_token(), cut: self.cut.child_token() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_is_also_a_drain_and_reaches_followers() {
        let order = Shutdown::new();
        let follower = order.follower();
        assert!(!follower.is_draining());
        order.cut();
        follower.draining().await;
        follower.cutting().await;
    }

    #[tokio::test]
    async fn a_followers_end_does_not_stop_the_others() {
        let order = Shutdown::new();
        order.follower().cut();
        assert!(!order.is_draining());
    }
}
