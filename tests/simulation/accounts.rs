//! Accounts of a simulation: few slots, in workspaces of their own and in shared ones, with keys that are really sealed.

use scrip::keypool::{AccountChanges, AccountStatus, AllowList, NewAccount, NewKey, Purpose};
use scrip::vault::{FalKey, KekId, Keyring};

use crate::chance::Chance;
use crate::commands::text;

/// Seals the keys of new accounts.
pub(crate) struct Sealing {
    keyring: Keyring,
    sealed: u8,
}

/// What opens and seals keys in every replica.
pub(crate) fn keyring() -> Keyring {
    Keyring::generate(KekId::new("kek-1").expect("an id"), [7; 32])
}

impl Sealing {
    pub(crate) fn new() -> Self {
        Self { keyring: keyring(), sealed: 0 }
    }

    fn key(&mut self) -> NewKey {
        self.sealed += 1;
        let key_id = format!("key-{}", self.sealed);
        let key = FalKey::new(format!("{key_id}:secret")).expect("a key");
        // Each key has a nonce of its own: that is all the vault asks of it.
        let sealed =
            self.keyring.seal(&key, Purpose::Lease, [self.sealed; 24]).expect("there is a key to seal with");
        NewKey { key_id: key_id.into(), sealed }
    }

    /// An account to be added.
    pub(crate) fn account(&mut self, chance: &mut Chance) -> NewAccount {
        NewAccount {
            name: text(&format!("account {}", self.sealed)),
            key: self.key(),
            billing_key: None,
            workspace: text(chance.of(&["", "shared", "shared"])),
            max_concurrency: chance.of(&[1, 1, 2, 3]),
            priority: chance.of(&[0, 0, 1]),
            weight: 100,
            allowed_apps: AllowList::default(),
            remark: text(""),
            balance_nano_usd: chance.is(40).then(|| chance.between(0, 40)),
        }
    }

    /// Another key for an account.
    pub(crate) fn rotated(&mut self) -> AccountChanges {
        AccountChanges { key: Some(self.key()), ..AccountChanges::default() }
    }
}

/// A change of one of the things that slots depend on.
pub(crate) fn changed_account(chance: &mut Chance) -> AccountChanges {
    if chance.is(50) {
        return AccountChanges { status: Some(chance.of(&STATES)), ..AccountChanges::default() };
    }
    AccountChanges { max_concurrency: Some(chance.of(&[1, 2, 3])), ..AccountChanges::default() }
}

/// What operators set an account to.
const STATES: [AccountStatus; 6] = [
    AccountStatus::Enabled,
    AccountStatus::Enabled,
    AccountStatus::Enabled,
    AccountStatus::Enabled,
    AccountStatus::Draining,
    AccountStatus::Disabled,
];
