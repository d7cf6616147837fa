//! Time and randomness, handed in: the one place that takes them from the air. Tests and simulations hand in their own.

use std::sync::Arc;

use uuid::Uuid;

use crate::ledger::Micros;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the epoch, UTC.
    fn now(&self) -> Micros;
}

/// Identifiers that must never repeat.
pub trait Ids: Send + Sync + 'static {
    /// A new batch id: a UUIDv7, so that ids are written in the order of their keys.
    fn batch_id(&self) -> Uuid;

    /// A new lease's id, likewise in the order of time.
    fn lease_id(&self) -> Uuid {
        self.batch_id()
    }

    /// Bytes for sealing. They need not be secret, but must never repeat: batch ids do not.
    fn nonce(&self) -> [u8; 24] {
        let (one, other) = (self.batch_id().into_bytes(), self.batch_id().into_bytes());
        std::array::from_fn(|i| if i < 16 { one[i] } else { other[i - 8] })
    }

    /// A number for lots and jitter; no secret rests on it.
    fn random(&self) -> u64 {
        let (high, low) = self.batch_id().as_u64_pair();
        high.rotate_left(32) ^ low
    }
}

/// The machine's own clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl System {
    /// The system clock, shared.
    pub fn clock() -> Arc<dyn Clock> {
        Arc::new(System)
    }

    /// The system's source of ids, shared.
    pub fn ids() -> Arc<dyn Ids> {
        Arc::new(System)
    }

    /// Bytes that nobody can guess: for nonces and new keys.
    #[allow(clippy::disallowed_methods, reason = "the one source of randomness")]
    pub fn secret_bytes<const N: usize>() -> [u8; N] {
        let mut bytes = [0; N];
        rand::fill(&mut bytes[..]);
        bytes
    }
}

impl Clock for System {
    #[allow(clippy::disallowed_methods, reason = "the one reading of the machine's clock")]
    fn now(&self) -> Micros {
        Micros(jiff::Timestamp::now().as_microsecond())
    }
}

impl Ids for System {
    #[allow(clippy::disallowed_methods, reason = "the one source of randomness")]
    fn batch_id(&self) -> Uuid {
        let millis = u64::try_from(self.now().0 / 1_000).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
    }

    fn nonce(&self) -> [u8; 24] {
        System::secret_bytes()
    }
}
