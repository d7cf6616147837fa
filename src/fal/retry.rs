//! Trying again: when, how long to wait, and when to stop.
//!
//! What may pass (429, 5xx, timeouts, broken connections) is tried again after a wait that doubles, half of it drawn
//! at random so that callers do not come back together. fal's Retry-After is waited for in full. It ends with the
//! attempts or with the time: a wait that would outlast the budget is not begun.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::fmt::rfc2822;
use tokio::time::Instant;

use super::error::Error;
use crate::ledger::Micros;

/// How often and how long a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first among them. Default 5, at least 1.
    pub attempts: u32,
    /// The first wait; each one after it is twice as long. Default 500 ms.
    pub base: Duration,
    /// The longest wait that is not fal's own wish. Default 20 s.
    pub cap: Duration,
    /// Within which the last attempt must begin. Default 2 min.
    pub budget: Duration,
    /// What the waits are drawn from; give each process another one. Default 0.
    pub seed: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(20),
            budget: Duration::from_secs(120),
            seed: 0,
        }
    }
}

/// A failed attempt: why, and how long fal asked to wait.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) retry_after: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None }
    }
}

/// Draws the waits of one client.
#[derive(Debug)]
pub(super) struct Retrier {
    policy: Retry,
    drawn: AtomicU64,
}

impl Retrier {
    pub(super) fn new(policy: Retry) -> Self {
        Self { policy, drawn: AtomicU64::new(0) }
    }

    /// Runs `attempt` until it succeeds, fails for good, or the policy ends it; the error is the last one.
    pub(super) async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let began = Instant::now();
        let mut made = 0;
        loop {
            let Failed { error, retry_after } = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            made += 1;
            if !error.is_transient() || made >= self.policy.attempts {
                return Err(error);
            }
            let wait = self.wait(made, retry_after);
            if began.elapsed().saturating_add(wait) > self.policy.budget {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait after the attempt of this number.
    fn wait(&self, made: u32, retry_after: Option<Duration>) -> Duration {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let share = fraction(self.policy.seed, number);
        match retry_after {
            // A little later than asked, so that those who were told the same do not come back together.
            Some(asked) => asked.saturating_add(self.policy.base.mul_f64(share)),
            None => {
                let doublings = 1u32.checked_shl(made.saturating_sub(1)).unwrap_or(u32::MAX);
                let full = self.policy.base.saturating_mul(doublings).min(self.policy.cap);
                full.mul_f64(0.5 + share / 2.0)
            }
        }
    }
}

/// The `number`th draw in 0..1 of a seed (splitmix64).
fn fraction(seed: u64, number: u64) -> f64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // 53 bits are what a float holds; a wait is no money.
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// What a Retry-After header asks for: seconds, or a moment to wait until. Anything else asks for nothing.
pub(super) fn retry_after(header: &str, now: Micros) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?.as_microsecond();
    Some(Duration::from_micros(u64::try_from(until.saturating_sub(now.0)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn policy(attempts: u32) -> Retry {
        Retry { attempts, base: Duration::from_secs(1), ..Retry::default() }
    }

    /// Runs attempts that all fail like this and answers when each was made and what came of it.
    async fn times(policy: Retry, error: Error, asked: Option<Duration>) -> (Vec<Duration>, Error) {
        let began = Instant::now();
        let times = Mutex::new(Vec::new());
        let retrier = Retrier::new(policy);
        let outcome = retrier
            .run(|| async {
                times.lock().unwrap().push(began.elapsed());
                Err::<(), _>(Failed { error: error.clone(), retry_after: asked })
            })
            .await;
        (times.into_inner().unwrap(), outcome.unwrap_err())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_and_are_drawn_from_the_seed() {
        let (made, error) = times(policy(5), Error::Timeout, None).await;
        assert_eq!(error, Error::Timeout);
        let waits: Vec<_> = made.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert_eq!(waits.len(), 4);
        for (wait, full) in waits.iter().zip([1.0, 2.0, 4.0, 8.0]) {
            assert!((full / 2.0..=full + 0.01).contains(wait), "{waits:?}");
        }
        assert_eq!(made, times(policy(5), Error::Timeout, None).await.0);
        let other = Retry { seed: 1, ..policy(5) };
        assert_ne!(made, times(other, Error::Timeout, None).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_to_wait_is_granted_in_full() {
        let asked = Duration::from_secs(30);
        let (made, _) = times(policy(3), Error::RateLimited { retry_after: Some(asked) }, Some(asked)).await;
        assert_eq!(made.len(), 3);
        assert!(made[1] >= asked && made[2] - made[1] >= asked, "{made:?}");
        assert!(made[1] <= asked + Duration::from_millis(1_001), "{made:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_would_outlast_the_budget_is_not_begun() {
        for asked in [Duration::from_secs(121), Duration::MAX] {
            let limited = Error::RateLimited { retry_after: Some(asked) };
            let (made, error) = times(policy(5), limited.clone(), Some(asked)).await;
            assert_eq!(made, [Duration::ZERO]);
            assert_eq!(error, limited);
        }
        let patient = Retry { attempts: u32::MAX, ..policy(0) };
        let (made, _) = times(patient, Error::Timeout, None).await;
        assert!(*made.last().unwrap() <= Duration::from_secs(120), "{made:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_tried_again() {
        for error in [
            Error::Unauthorized { scope: crate::fal::Scope::Admin },
            Error::NotFound { said_by_fal: true },
            Error::Upstream { status: 501 },
            Error::TooLarge { limit: 1 },
        ] {
            assert_eq!(times(policy(5), error.clone(), None).await.0.len(), 1, "{error:?}");
        }
        // No attempts at all is one.
        assert_eq!(times(policy(0), Error::Timeout, None).await.0.len(), 1);
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = Micros(784_111_777_000_000);
        for (header, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 07:49:37 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), expected.map(Duration::from_secs), "{header:?}");
        }
    }
}
