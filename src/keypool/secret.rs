//! Keys of accounts as they are stored: sealed. This room carries the bytes and cannot open them.

use std::fmt;
use std::sync::Arc;

use super::AccountId;
use crate::ledger::text_enum::text_enum;
use crate::ledger::{Change, Micros, Text};

text_enum! {
    /// What a key is for.
    Purpose {
        /// Runners lease it.
        Lease = "lease",
        /// scrip asks fal's platform API with it. Never leased.
        Billing = "billing",
    }
}

/// A sealed secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key-encryption key that sealed it.
    pub kek_id: Text,
    /// What is stored.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(by {})", self.kek_id)
    }
}

/// A key to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its id.
    pub key_id: Text,
    /// The whole of it, sealed.
    pub sealed: Sealed,
}

/// One row of `scrip_account_keys`: a key that an account has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// Whose.
    pub account_id: AccountId,
    /// What for.
    pub purpose: Purpose,
    /// Its id.
    pub key_id: Text,
    /// The whole of it; `None` once erased.
    pub sealed: Option<Sealed>,
    /// Since when the account has it.
    pub create_time: Micros,
    /// When another took its place.
    pub retire_time: Option<Micros>,
}

/// A secret sealed anew, with the key-encryption key that is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseal {
    /// Whose.
    pub account_id: AccountId,
    /// What for.
    pub purpose: Purpose,
    /// Its id.
    pub key_id: Text,
    /// What was found: a row that holds something else by now is left alone.
    pub before: Sealed,
    /// What is to be stored.
    pub after: Sealed,
}

/// A change of `scrip_account_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyWrite {
    /// The row as it stands at the end.
    Put(Change, AccountKey),
    /// The sealed secret, if it is still what was found.
    Reseal(Reseal),
}
