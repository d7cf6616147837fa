//! Roles: what a caller is there for.

use std::fmt;
use std::str::FromStr;

/// What a caller is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Charges, holds, refunds, and reads: the service that sells.
    Biller,
    /// Takes keys; starts, completes and fails tasks: what runs them.
    Runner,
    /// Credits and debits: recharge, gifts, withdrawal.
    Cashier,
    /// Reads everything, and reconciles.
    Auditor,
    /// Everything, and the fal accounts, which are nobody else's.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [Role::Biller, Role::Runner, Role::Cashier, Role::Auditor, Role::Admin];

    /// The word it is written by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Biller => "biller",
            Role::Runner => "runner",
            Role::Cashier => "cashier",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Role::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| {
            let known = Role::ALL.map(Role::as_str).join(", ");
            format!("no role {word:?}: the roles are {known}")
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Every role there is.
    pub const ALL: Roles = Roles(0b1_1111);

    /// Whether one of them is `role`, or may do all that it may.
    pub const fn have(self, role: Role) -> bool {
        self.0 & (role.bit() | Role::Admin.bit()) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads words parted by `separator`: at least one, all known.
    ///
    /// # Errors
    /// The word that is none, with those there are.
    pub fn parse(text: &str, separator: char) -> Result<Self, String> {
        text.split(separator).map(|word| word.trim().parse::<Role>()).collect()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Roles(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl fmt::Display for Roles {
    /// As the tables and `ErrorInfo` hold them: `biller,runner`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> =
            Role::ALL.into_iter().filter(|role| self.0 & role.bit() != 0).map(Role::as_str).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written() {
        for text in ["biller", "biller,runner", "biller,runner,cashier,auditor,admin"] {
            assert_eq!(Roles::parse(text, ',').unwrap().to_string(), text);
        }
        assert_eq!(Roles::parse("runner+biller", '+').unwrap().to_string(), "biller,runner");
        for text in ["", "root", "biller,", "Biller"] {
            assert!(Roles::parse(text, ',').unwrap_err().contains("biller, runner, cashier"), "{text:?}");
        }
        assert_eq!(Roles::from_iter(Role::ALL), Roles::ALL);
    }

    #[test]
    fn an_admin_has_every_role_and_nobody_else_another_ones() {
        for role in Role::ALL {
            assert!(Roles::from_iter([Role::Admin]).have(role));
            for other in Role::ALL {
                let has = Roles::from_iter([other]).have(role);
                assert_eq!(has, other == role || other == Role::Admin, "{other} {role}");
            }
            assert!(!Roles::default().have(role));
        }
    }
}
