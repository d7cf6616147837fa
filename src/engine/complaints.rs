//! What is said of a store that fails: each failure once, and of those that are alike one every ten seconds, so that an
//! outage under load does not fill the log with one sentence. How many there were, the metrics tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long failures that are alike are only counted after one was said.
const QUIET: Duration = Duration::from_secs(10);
/// Different failures that are remembered; beyond them all are said anew.
const KINDS: usize = 64;

struct Said {
    at: Instant,
    kept_back: u64,
}

/// The failures that were said of late, by their words.
pub(super) struct Complaints(Mutex<BTreeMap<(String, String), Said>>);

impl Complaints {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Whether a failure of these words is to be said now; if so, how many like it were kept back since the last.
    pub(super) fn hear(&self, error: String, cause: String, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = (error, cause);
        match said.get_mut(&words) {
            Some(before) if now.duration_since(before.at) < QUIET => {
                before.kept_back += 1;
                None
            }
            Some(before) => {
                // After a pause it is another outage.
                let goes_on = now.duration_since(before.at) < 2 * QUIET;
                let kept_back = if goes_on { before.kept_back } else { 0 };
                *before = Said { at: now, kept_back: 0 };
                Some(kept_back)
            }
            None => {
                if said.len() >= KINDS {
                    said.clear();
                }
                said.insert(words, Said { at: now, kept_back: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(complaints: &Complaints, words: &str, now: Instant) -> Option<u64> {
        complaints.hear("the database is unavailable".to_owned(), words.to_owned(), now)
    }

    #[test]
    fn an_outage_is_said_at_once_and_every_ten_seconds_with_what_was_kept_back() {
        let (complaints, began) = (Complaints::new(), Instant::now());
        assert_eq!(heard(&complaints, "connection refused", began), Some(0));
        for milli in 1..10_000 {
            assert_eq!(heard(&complaints, "connection refused", began + Duration::from_millis(milli)), None);
        }
        assert_eq!(heard(&complaints, "connection refused", began + QUIET), Some(9_999));
        assert_eq!(heard(&complaints, "connection refused", began + QUIET), None);
        assert_eq!(heard(&complaints, "connection refused", began + 2 * QUIET), Some(1));
        assert_eq!(heard(&complaints, "connection refused", began + 2 * QUIET), None);
        assert_eq!(heard(&complaints, "connection refused", began + 9 * QUIET), Some(0), "a new outage");
    }

    #[test]
    fn a_failure_of_other_words_is_said_beside_it() {
        let (complaints, now) = (Complaints::new(), Instant::now());
        assert_eq!(heard(&complaints, "connection refused", now), Some(0));
        assert_eq!(heard(&complaints, "shutting down", now), Some(0));
        assert_eq!(heard(&complaints, "connection refused", now), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (complaints, now) = (Complaints::new(), Instant::now());
        for number in 0..10 * KINDS {
            assert_eq!(heard(&complaints, &number.to_string(), now), Some(0));
            assert!(complaints.0.lock().unwrap().len() <= KINDS);
        }
    }
}
