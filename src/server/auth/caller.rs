//! Who makes a call, and what that caller may touch.

use std::sync::Arc;

use super::role::{Role, Roles};

/// The users a caller is bound to, first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRange {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// A caller, whatever it proved itself by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As entries and the audit log say it: a token's name, `spiffe://…` or `CN=…`.
    pub name: Arc<str>,
    /// What it is there for.
    pub roles: Roles,
    /// The users it may touch; `None`: all.
    pub users: Option<UserRange>,
}

impl Identity {
    /// Whoever calls a server that asks nobody for a name.
    pub fn anonymous() -> Self {
        Self { name: Arc::from("anonymous"), roles: Roles::ALL, users: None }
    }
}

/// Who makes a call, in the extensions of its request.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Arc<Identity>,
    method: &'static str,
}

/// A caller that is known may not do this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The method's path.
    pub method: &'static str,
    /// The roles the caller has.
    pub roles: Roles,
    /// What it may not, to follow "NAME".
    pub why: &'static str,
    /// Who it is.
    pub name: Arc<str>,
}

impl Caller {
    /// A caller of the method of this path.
    pub fn new(identity: Arc<Identity>, method: &'static str) -> Self {
        Self { identity, method }
    }

    /// As entries and the audit log say it.
    pub fn name(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// Whether there are users it may not touch.
    pub fn is_bound(&self) -> bool {
        self.identity.users.is_some()
    }

    /// Whether it may touch this user.
    pub fn may_touch(&self, user_id: i64) -> bool {
        self.identity.users.is_none_or(|users| (users.first..=users.last).contains(&user_id))
    }

    /// Refuses a user that it may not touch.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn touch(&self, user_id: i64) -> Result<(), Denied> {
        if self.may_touch(user_id) {
            return Ok(());
        }
        Err(self.denied("may not touch this user: it is bound to others"))
    }

    /// Refuses to be asked about all users at once.
    ///
    /// # Errors
    /// [`Denied`] if it is bound to some.
    pub fn touch_all(&self) -> Result<(), Denied> {
        if self.is_bound() {
            return Err(self.denied("is bound to some users: name one of them as user_id"));
        }
        Ok(())
    }

    /// Refuses what takes a role beside those that the method asks for.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn require_runner(&self) -> Result<(), Denied> {
        if self.identity.roles.have(Role::Runner) {
            return Ok(());
        }
        Err(self.denied("may not be given a key: select_key takes the runner's role as well"))
    }

    pub(super) fn denied(&self, why: &'static str) -> Denied {
        let name = Arc::clone(&self.identity.name);
        Denied { method: self.method, roles: self.identity.roles, why, name }
    }
}
