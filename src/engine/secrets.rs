//! Sealed keys, opened where a live lease is told: nowhere else in the engine is a secret in the clear.

use std::sync::Arc;

use super::Handle;
use crate::keypool::{Lease, LeaseState, NewKey, Purpose, Sealed};
use crate::ledger::{Micros, Rejection, Text};
use crate::store::LeaseRecord;
use crate::vault::{FalKey, Keyring, NoKek, Unreadable};

/// A lease as its runner is told of it.
#[derive(Clone, Debug)]
pub struct GrantedKey {
    /// The lease.
    pub lease: Lease,
    /// Its account's name.
    pub account_name: Text,
    /// How it stands.
    pub state: LeaseState,
    /// The whole key: only while the lease is active, and its account not deleted.
    pub api_key: Option<Arc<FalKey>>,
}

impl GrantedKey {
    /// A lease without its key.
    pub(super) fn told(record: LeaseRecord, now: Micros) -> Self {
        let state = record.lease.state(now);
        Self { lease: record.lease, account_name: record.account_name, state, api_key: None }
    }

    /// A lease, with its key while it is active. Of an account that was deleted the secret is gone: what was done is
    /// told without it, since a refusal would say that nothing was.
    ///
    /// # Errors
    /// SECRET_UNAVAILABLE, if the key cannot be opened.
    pub(super) fn granted(record: LeaseRecord, keyring: &Keyring, now: Micros) -> Result<Self, Rejection> {
        let key = record.key.clone();
        let told = Self::told(record, now);
        if told.state != LeaseState::Active {
            return Ok(told);
        }
        let key_id = &told.lease.key_id;
        let Some(sealed) = key else { return Ok(told) };
        let opened = keyring.open(key_id, Purpose::Lease, &sealed);
        let api_key = opened.map_err(|why| why_not(key_id, &sealed, &why))?;
        Ok(Self { api_key: Some(Arc::new(api_key)), ..told })
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

fn why_not(key_id: &Text, sealed: &Sealed, why: &Unreadable) -> Rejection {
    let kek_id = Arc::clone(&sealed.kek_id);
    let why = match why {
        Unreadable::NoKek { .. } => {
            "it was sealed with a key-encryption key that this server does not have: start it with that key"
        }
        Unreadable::Damaged { .. } => {
            "what is stored of it is damaged, or another key-encryption key has the name of the one that sealed it: \
             store the key again"
        }
    };
    unavailable(key_id, kek_id, why)
}

fn unavailable(key_id: &Text, kek_id: Text, why: &str) -> Rejection {
    Rejection::SecretUnavailable { key_id: Arc::clone(key_id), kek_id, why: Text::from(why) }
}
