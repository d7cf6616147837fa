//! Who may call what.
//!
//! | phase | where |
//! |---|---|
//! | at start: every method served is in the table of roles, or the server does not start | `methods` |
//! | who calls: a bearer token against the tokens known, or a client certificate against its roles | `token`, `known`, `guard` |
//! | whether that caller may call this method | `guard`, `layer` |
//! | whether it may touch this user, and may be leased a key: asked by the handlers, who know both | `caller` |
//!
//! Fail-closed: a method that is not in the table is not served; a database that does not answer leaves what was known
//! of tokens for ten seconds and then refuses everybody; a handler without a [`Caller`] refuses the call.

mod caller;
mod guard;
mod known;
pub(super) mod layer;
mod methods;
mod role;
mod token;

#[cfg(test)]
mod tests;

pub use self::caller::{Caller, Denied, Identity, UserRange};
pub use self::guard::{CertificateRoles, Demand, Guard};
pub use self::known::Tokens;
pub use self::methods::{Access, MethodsError, access, check_methods, served_methods};
pub use self::role::{Role, Roles};
pub use self::token::{Secret, digest_of, holds_token};
