//! A client's certificate: whom it names, and whether it still holds when a call is made.
//!
//! A connection may outlive the certificate it was made with, and the authorities that vouched for it. So each call asks
//! whether the certificate has expired, and the first one after the authorities or their revocation lists were read anew
//! has it judged again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::validity;
use super::{Loaded, Tls};
use crate::ledger::Micros;

/// The certificate that a connection was made with. Clones share what was found out about it.
#[derive(Clone)]
pub(in crate::server) struct Presented {
    inner: Arc<Inner>,
}

struct Inner {
    tls: Tls,
    chain: Vec<CertificateDer<'static>>,
    name: Option<String>,
    not_after: Micros,
    /// The last reading of the authorities by which it was judged good.
    judged: AtomicU64,
}

/// Why a certificate proves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Unfit {
    /// Its time is over.
    Expired,
    /// Its authority is not trusted any more, or has revoked it.
    NotTrusted,
    /// It has no name, or several.
    Nameless,
}

impl Presented {
    /// A chain that the handshake has judged good by the authorities of `generation`.
    pub(super) fn new(tls: Tls, chain: &[CertificateDer<'_>], generation: u64) -> Self {
        let chain: Vec<_> = chain.iter().map(|one| one.clone().into_owned()).collect();
        let name = chain.first().and_then(|leaf| name(leaf));
        // One whose end cannot be read has ended.
        let not_after =
            chain.first().and_then(|leaf| validity(leaf)).map_or(Micros(i64::MIN), |(_, end)| end);
        let judged = AtomicU64::new(generation);
        Self { inner: Arc::new(Inner { tls, chain, name, not_after, judged }) }
    }

    /// Whom it names, `spiffe://…` or `CN=…`, if it still holds.
    pub(in crate::server) fn name(&self) -> Result<&str, Unfit> {
        let now = self.inner.tls.inner.clock.now();
        if self.inner.not_after <= now {
            return Err(Unfit::Expired);
        }
        let loaded = self.inner.tls.loaded();
        if self.inner.judged.load(Ordering::Relaxed) != loaded.generation {
            self.judge(&loaded, now)?;
            self.inner.judged.store(loaded.generation, Ordering::Relaxed);
        }
        self.inner.name.as_deref().ok_or(Unfit::Nameless)
    }

    fn judge(&self, loaded: &Loaded, now: Micros) -> Result<(), Unfit> {
        let (Some(verifier), Some((leaf, rest))) = (&loaded.verifier, self.inner.chain.split_first()) else {
            return Err(Unfit::NotTrusted);
        };
        let since_epoch = Duration::from_micros(u64::try_from(now.0).unwrap_or_default());
        let judged = verifier.verify_client_cert(leaf, rest, UnixTime::since_unix_epoch(since_epoch));
        judged.map(drop).map_err(|_| Unfit::NotTrusted)
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

/// The one SPIFFE ID of a certificate; without any, its one common name. A certificate with several of what counts
/// names nobody: it would be whoever one looks for.
fn name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let mut ids: Vec<&str> = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::URI(uri) = name {
            ids.push(uri);
        }
    }
    if ids.iter().any(|id| id.starts_with("spiffe://")) {
        return (ids.len() == 1).then(|| ids[0].to_owned());
    }
    let mut common = certificate.subject().iter_common_name();
    let one = common.next()?.as_str().ok()?;
    (common.next().is_none() && !one.is_empty()).then(|| format!("CN={one}"))
}
