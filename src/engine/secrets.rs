//! Sealed keys, opened where a live lease is told: nowhere else in the engine is a secret in the clear.

use std::sync::Arc;

use super::Handle;
use crate::keypool::{Lease, LeaseState, NewKey, Purpose, Sealed};
use crate::ledger::{Micros, Rejection, Text};
use crate::store::LeaseRecord;
use crate::vault::{FalKey, Keyring, NoKek};

/// A lease as its runner is told of it.
#[derive(Clone, Debug)]
pub struct GrantedKey {
    /// The lease.
    pub lease: Lease,
    /// Its account's name.
    pub account_name: Text,
    /// How it stands.
    pub state: LeaseState,
    /// The whole key: only while the lease is active, and its account was not deleted meanwhile.
    pub api_key: Option<Arc<FalKey>>,
}

impl GrantedKey {
    /// A lease without its key.
    pub(super) fn told(record: LeaseRecord, now: Micros) -> Self {
        let state = record.lease.state(now);
        Self { lease: record.lease, account_name: record.account_name, state, api_key: None }
    }

    /// A lease, with its key while it is active. It is committed by now: that its key is gone or cannot be opened (it
    /// could when it was given) takes nothing from that, and is logged.
    pub(super) fn granted(record: LeaseRecord, keyring: &Keyring, now: Micros) -> Self {
        let key = record.key.clone();
        let told = Self::told(record, now);
        if told.state != LeaseState::Active {
            return told;
        }
        let key_id = &told.lease.key_id;
        match key.map(|sealed| keyring.open(key_id, Purpose::Lease, &sealed)) {
            Some(Ok(key)) => Self { api_key: Some(Arc::new(key)), ..told },
            Some(Err(why)) => {
                tracing::warn!(lease_id = &*told.lease.lease_id, %why, "the key of a lease does not open");
                told
            }
            None => {
                tracing::info!(lease_id = &*told.lease.lease_id, "the key of a lease was erased");
                told
            }
        }
    }
}

impl Handle {
    /// Seals a key to be stored; it is wiped here.
    ///
    /// # Errors
    /// SECRET_UNAVAILABLE, if no key-encryption key is configured.
    pub fn seal(&self, key: FalKey, purpose: Purpose) -> Result<NewKey, Rejection> {
        let key_id = Text::from(key.key_id());
        let sealed = self.keyring().seal(&key, purpose, self.nonce()).map_err(|NoKek| {
            let why = "this server has no key-encryption key and stores no secrets: start it with --kek-file";
            unavailable(&key_id, Text::default(), why)
        })?;
        Ok(NewKey { key_id, sealed })
    }
}

/// Whether the key of a row can be leased here.
pub(super) fn opens(keyring: &Keyring, key_id: &Text, sealed: &Sealed) -> bool {
    keyring.open(key_id, Purpose::Lease, sealed).is_ok()
}

fn unavailable(key_id: &Text, kek_id: Text, why: &str) -> Rejection {
    Rejection::SecretUnavailable { key_id: Arc::clone(key_id), kek_id, why: Text::from(why) }
}
