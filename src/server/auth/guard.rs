//! The judge at the door: from what a call shows to who makes it, or why it is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use tonic::Status;

use super::caller::{Actor, Caller, Denied, Identity};
use super::known::{NotTold, Tokens};
use super::methods::{self, Access, Method};
use super::role::{Role, Roles};
use super::token::{Shown, shown};
use crate::server::status;
use crate::server::tls::{Presented, Unfit};
use crate::store::tokens::TokenDigest;

/// Whether callers must prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Always.
    Always,
    /// As soon as the database has a token.
    WithFirstToken,
    /// Never: for tests of what lies behind the door.
    Never,
}

/// Which roles the identity of a client certificate has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRoles(BTreeMap<String, Arc<Identity>>);

impl CertificateRoles {
    /// Reads `spiffe://example.org/checkout=biller+runner, CN=ops=admin`.
    ///
    /// # Errors
    /// What is wrong with which entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, roles) = entry.rsplit_once('=').unwrap_or((entry, ""));
            let is_spiffe = name.strip_prefix("spiffe://").is_some_and(|rest| rest.contains('/'));
            if !is_spiffe && name.strip_prefix("CN=").is_none_or(str::is_empty) {
                return Err(format!(
                    "{entry:?}: expected spiffe://DOMAIN/PATH=ROLE or CN=NAME=ROLE, several roles parted by +, \
                     several entries by commas"
                ));
            }
            let roles = Roles::parse(roles, '+').map_err(|why| format!("{entry:?}: {why}"))?;
            let identity = Identity { name: Arc::from(name), roles, users: None };
            if found.insert(name.to_owned(), Arc::new(identity)).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Self(found))
    }

    /// Whether no certificate has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The judge at the door. Clones are the same.
#[derive(Clone, Debug)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    demand: Demand,
    tokens: Option<Tokens>,
    certificates: CertificateRoles,
    anonymous: Arc<Identity>,
}

/// What becomes of a call.
pub(super) enum Verdict {
    /// It goes on, made by this caller.
    Pass(Caller),
    /// Its token is not known: it is once the database was asked again, or never.
    AskAgain(&'static Method, TokenDigest),
    /// It is refused.
    Refuse(Refused),
}

/// Why a call is refused, and whose it is where that is known.
pub(super) struct Refused {
    pub(super) status: Status,
    pub(super) actor: Option<Actor>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { status, actor: None }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let actor = Some(Actor(Arc::clone(&denied.name)));
        Self { status: denied.into(), actor }
    }
}

impl Guard {
    /// A guard that knows these tokens and certificates.
    pub fn new(demand: Demand, tokens: Option<Tokens>, certificates: CertificateRoles) -> Self {
        let anonymous = Arc::new(Identity::anonymous());
        Self { inner: Arc::new(Inner { demand, tokens, certificates, anonymous }) }
    }

    /// One that lets everybody in who calls a method that exists: for tests of what lies behind the door.
    pub fn open() -> Self {
        Self::new(Demand::Never, None, CertificateRoles::default())
    }

    /// Judges a call by its path, its headers and the certificate of its connection.
    pub(super) fn judge(&self, path: &str, headers: &HeaderMap, presented: Option<&Presented>) -> Verdict {
        let Some(method) = methods::find(path) else {
            return Verdict::Refuse(status::not_served(path).into());
        };
        let pass = |identity: &Arc<Identity>| Verdict::Pass(Caller::new(Arc::clone(identity), method.path));
        if method.access == Access::Open {
            return pass(&self.inner.anonymous);
        }
        match (shown(headers), presented) {
            (Shown::Token(digest), _) => self.by_token(method, digest),
            (Shown::Unreadable, _) => Verdict::Refuse(status::unauthenticated(
                method.path,
                "the authorization header is not of the form \"Bearer TOKEN\"",
            ).into()),
            (Shown::Nothing, Some(presented)) => self.by_certificate(method, presented),
            (Shown::Nothing, None) => match self.demands() {
                Ok(false) => pass(&self.inner.anonymous),
                Ok(true) => Verdict::Refuse(status::unauthenticated(
                    method.path,
                    "this server wants to know who calls: send a token (authorization: Bearer TOKEN) or a client certificate",
                ).into()),
                Err(unavailable) => Verdict::Refuse(unavailable.into()),
            },
        }
    }

    /// As [`Guard::judge`], of a token that was not known, after asking the database again.
    pub(super) async fn judge_again(
        &self,
        method: &'static Method,
        digest: TokenDigest,
    ) -> Result<Caller, Refused> {
        let found = match &self.inner.tokens {
            Some(tokens) => tokens.find_anew(&digest).await,
            None => Ok(None),
        };
        match found {
            Ok(Some(identity)) => admit(identity, method),
            Err(NotTold) => Err(status::callers_unknown().into()),
            Ok(None) => Err(status::unauthenticated(
                method.path,
                "the token is not known: it is mistyped, revoked or expired",
            )
            .into()),
        }
    }

    fn by_token(&self, method: &'static Method, digest: TokenDigest) -> Verdict {
        let Some(tokens) = &self.inner.tokens else { return Verdict::AskAgain(method, digest) };
        let view = tokens.view();
        if !view.is_good() {
            return Verdict::Refuse(status::callers_unknown().into());
        }
        match view.find(&digest, tokens.now()) {
            Some(identity) => verdict(admit(identity, method)),
            None => Verdict::AskAgain(method, digest),
        }
    }

    fn by_certificate(&self, method: &'static Method, presented: &Presented) -> Verdict {
        let name = match presented.name() {
            Ok(name) => name,
            Err(unfit) => {
                let why = match unfit {
                    Unfit::Expired => "the client certificate has expired: connect again with another one",
                    Unfit::NotTrusted => {
                        "the client certificate is not trusted any more: connect again with another one"
                    }
                    Unfit::Nameless => {
                        "the client certificate names nobody: it needs one SPIFFE ID (a URI) or one common name"
                    }
                };
                return Verdict::Refuse(status::unauthenticated(method.path, why).into());
            }
        };
        match self.inner.certificates.0.get(name) {
            Some(identity) => verdict(admit(Arc::clone(identity), method)),
            None => {
                let nobody = Identity { name: Arc::from(name), roles: Roles::default(), users: None };
                verdict(admit(Arc::new(nobody), method))
            }
        }
    }

    /// Whether callers must prove who they are now.
    fn demands(&self) -> Result<bool, Status> {
        match (self.inner.demand, &self.inner.tokens) {
            (Demand::Always, _) => Ok(true),
            (Demand::Never, _) | (Demand::WithFirstToken, None) => Ok(false),
            (Demand::WithFirstToken, Some(tokens)) => {
                let view = tokens.view();
                // There may be a token by now.
                if view.any || view.is_good() { Ok(view.any) } else { Err(status::callers_unknown()) }
            }
        }
    }
}

fn verdict(admitted: Result<Caller, Refused>) -> Verdict {
    admitted.map_or_else(Verdict::Refuse, Verdict::Pass)
}

/// Whether a caller that is known may call the method.
fn admit(identity: Arc<Identity>, method: &'static Method) -> Result<Caller, Refused> {
    let (roles, is_bound) = (identity.roles, identity.users.is_some());
    let caller = Caller::new(identity, method.path);
    let may = match method.access {
        Access::Open => true,
        Access::Known => !roles.is_empty(),
        Access::Roles(allowed) => roles.have(Role::Admin) || allowed.iter().any(|role| roles.have(*role)),
    };
    if !may {
        return Err(caller.denied("has no role that may call this method").into());
    }
    if is_bound && !method.is_of_users {
        return Err(caller.denied("is bound to some users, and this method is about all of them").into());
    }
    Ok(caller)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("demand", &self.demand).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_roles_are_read_as_they_are_written() {
        let roles = CertificateRoles::parse("spiffe://example.org/checkout=biller+runner, CN=ops team=admin")
            .unwrap();
        let of = |name: &str| roles.0[name].roles.to_string();
        assert_eq!(
            (of("spiffe://example.org/checkout"), of("CN=ops team")),
            ("biller,runner".into(), "admin".into())
        );
        assert!(CertificateRoles::parse(" ").unwrap().is_empty());
    }

    #[test]
    fn an_entry_that_is_none_is_named() {
        for text in [
            "ops=admin",
            "CN==admin",
            "CN=ops",
            "spiffe://example.org=admin",
            "CN=ops=root",
            "CN=a=admin,CN=a=biller",
        ] {
            assert!(CertificateRoles::parse(text).is_err(), "{text}");
        }
        let why = CertificateRoles::parse("CN=a=admin, CN=b=root").unwrap_err();
        assert!(why.contains("CN=b=root") && why.contains("biller, runner"), "{why}");
    }
}
