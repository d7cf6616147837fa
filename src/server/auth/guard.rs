//! The judge at the door: from what a call shows to who makes it, or why it is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use tonic::Status;

use super::caller::{Caller, Denied, Identity};
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
    /// Not to be told by what is known here: its token is new, or what is known is old. The database is to be asked.
    Ask(Question),
    /// It is refused.
    Refuse(Refused),
}

/// A call that waits for the database: which method, with which token if any.
pub(super) struct Question {
    method: &'static Method,
    token: Option<TokenDigest>,
}

/// Why a call is refused, and whose it is where that is known.
pub(super) struct Refused {
    pub(super) status: Status,
    pub(super) actor: Option<Arc<str>>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { status, actor: None }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let actor = Some(Arc::clone(&denied.name));
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
            (Shown::Unreadable, _) => Verdict::Refuse(
                status::unauthenticated(
                    method.path,
                    "the authorization header is not of the form \"Bearer TOKEN\"",
                )
                .into(),
            ),
            (Shown::Nothing, Some(presented)) => self.by_certificate(method, presented),
            (Shown::Nothing, None) => match self.demands() {
                Some(demands) => verdict(self.nameless(method, demands)),
                None => Verdict::Ask(Question { method, token: None }),
            },
        }
    }

    /// Judges a call by what the database says now.
    pub(super) async fn ask(&self, question: Question) -> Result<Caller, Refused> {
        let Question { method, token } = question;
        let view = match &self.inner.tokens {
            Some(tokens) => {
                let told = tokens.read_anew().await;
                Some((told.map_err(|NotTold| status::callers_unknown())?, tokens.now()))
            }
            None => None,
        };
        let Some(digest) = token else {
            return self.nameless(method, view.is_some_and(|(view, _)| view.any));
        };
        match view.and_then(|(view, now)| view.find(&digest, now)) {
            Some(identity) => admit(identity, method),
            None => Err(status::unauthenticated(
                method.path,
                "the token is not known: it is mistyped, revoked or expired",
            )
            .into()),
        }
    }

    fn by_token(&self, method: &'static Method, digest: TokenDigest) -> Verdict {
        let find =
            |tokens: &Tokens| Some(tokens.view()).filter(|view| view.is_good())?.find(&digest, tokens.now());
        match self.inner.tokens.as_ref().and_then(find) {
            Some(identity) => verdict(admit(identity, method)),
            None => Verdict::Ask(Question { method, token: Some(digest) }),
        }
    }

    /// A call that shows nothing.
    fn nameless(&self, method: &'static Method, demands: bool) -> Result<Caller, Refused> {
        if demands {
            return Err(status::unauthenticated(
                method.path,
                "this server wants to know who calls: send a token (authorization: Bearer TOKEN) or a client certificate",
            )
            .into());
        }
        Ok(Caller::new(Arc::clone(&self.inner.anonymous), method.path))
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

    /// Whether callers must prove who they are now; `None` where that is for the database to say.
    fn demands(&self) -> Option<bool> {
        match (self.inner.demand, &self.inner.tokens) {
            (Demand::Always, _) => Some(true),
            (Demand::Never, _) | (Demand::WithFirstToken, None) => Some(false),
            (Demand::WithFirstToken, Some(tokens)) => {
                let view = tokens.view();
                // That there is a token stays true; that there is none may be over.
                (view.any || view.is_good()).then_some(view.any)
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
