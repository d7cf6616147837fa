//! From files to a configuration that can serve. Errors name the file and never repeat what is in it.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{Expiry, Loaded, TlsFiles, digest_of};
use crate::ledger::Micros;

/// No certificate file is near this.
const MAX_BYTES: u64 = 1 << 20;

/// Why TLS cannot be served with these files.
#[derive(Debug, Error)]
#[error("{option} {path}: {why}")]
pub struct TlsError {
    /// The option that names the file.
    option: &'static str,
    path: String,
    why: String,
}

fn refuse(option: &'static str, path: &Path, why: impl Into<String>) -> TlsError {
    TlsError { option, path: path.display().to_string(), why: why.into() }
}

/// What is in the files.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

/// Reads them all, and a digest of them.
pub(super) async fn read(files: &TlsFiles) -> Result<(Contents, [u8; 32]), TlsError> {
    let cert = read_one("tls-cert", &files.cert).await?;
    let key = Zeroizing::new(read_one("tls-key", &files.key).await?);
    let client_ca = match &files.client_ca {
        Some(path) => Some(read_one("client-ca", path).await?),
        None => None,
    };
    let digest = digest_of([&cert[..], &key[..], client_ca.as_deref().unwrap_or_default()]);
    Ok((Contents { cert, key, client_ca }, digest))
}

async fn read_one(option: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable =
        |error: std::io::Error| refuse(option, path, format!("cannot be read ({})", error.kind()));
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse(option, path, "is larger than 1 MiB: this is no certificate file"));
    }
    Ok(bytes)
}

/// Makes a configuration of what was read; its generation and digest are the caller's to set. In the place of one that
/// serves until then nothing comes that clients would not accept now.
pub(super) fn load(
    files: &TlsFiles,
    contents: &Contents,
    now: Micros,
    in_use: Option<Expiry>,
) -> Result<Loaded, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (key, (start, server)) = certified(files, contents, &provider)?;
    if in_use.is_some_and(|in_use| in_use.server > now) && !(start <= now && now < server) {
        let why = if server <= now { "has expired" } else { "is not valid yet" };
        return Err(refuse("tls-cert", &files.cert, why));
    }
    let (verifier, client_ca) = match (&files.client_ca, &contents.client_ca) {
        (Some(path), Some(pem)) => {
            let (verifier, end) = authorities(path, pem, &provider)?;
            (Some(verifier), Some(end))
        }
        _ => (None, None),
    };
    let unusable = |error: rustls::Error| refuse("tls-cert", &files.cert, error.to_string());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?;
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Resumed, a connection would not show its certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let expiry = Expiry { server, client_ca };
    Ok(Loaded { config: Arc::new(config), verifier, expiry, generation: 0, digest: [0; 32] })
}

/// The server's chain and key, which belong together, and from when until when the certificate is valid.
fn certified(
    files: &TlsFiles,
    contents: &Contents,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, (Micros, Micros)), TlsError> {
    let chain = certificates("tls-cert", &files.cert, &contents.cert)?;
    let valid = validity(&chain[0]).ok_or_else(|| refuse("tls-cert", &files.cert, "is not a certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| {
        refuse(
            "tls-key",
            &files.key,
            "has no private key in it: expected PEM, such as -----BEGIN PRIVATE KEY-----",
        )
    })?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            refuse("tls-key", &files.key, "is not the key of the certificate in tls-cert")
        }
        // Of a key that ring cannot use; the words are ours, since the driver's may be about its bytes.
        _ => refuse(
            "tls-key",
            &files.key,
            "is of a kind that cannot be used: RSA (2048 to 8192 bits), ECDSA (P-256, P-384) or Ed25519",
        ),
    })?;
    Ok((certified, valid))
}

/// What judges client certificates, and when the first of its authorities ends.
fn authorities(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<dyn ClientCertVerifier>, Micros), TlsError> {
    let refused = |why: &str| refuse("client-ca", path, why);
    let certificates = certificates("client-ca", path, pem)?;
    let mut roots = RootCertStore::empty();
    let mut end = Micros(i64::MAX);
    for certificate in certificates {
        let (_, one) = validity(&certificate).ok_or_else(|| refused("is not a certificate"))?;
        end = end.min(one);
        roots.add(certificate).map_err(|_| refused("has a certificate in it that is no authority's"))?;
    }
    let lists: Vec<CertificateRevocationListDer<'static>> = CertificateRevocationListDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| refused("has a revocation list in it that cannot be read"))?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .allow_unauthenticated();
    let builder = if lists.is_empty() {
        builder
    } else {
        // An authority may have no list; one that has is believed.
        builder.with_crls(lists).allow_unknown_revocation_status().only_check_end_entity_revocation()
    };
    let verifier = builder.build().map_err(|_| refused("has a revocation list in it that cannot be read"))?;
    Ok((verifier, end))
}

fn certificates(
    option: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| refuse(option, path, "is not well-formed PEM"))?;
    if found.is_empty() {
        return Err(refuse(
            option,
            path,
            "has no certificate in it: expected PEM, -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(found)
}

/// From when and until when a certificate is valid.
pub(super) fn validity(der: &[u8]) -> Option<(Micros, Micros)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let micros = |time: ASN1Time| Micros(time.timestamp().saturating_mul(1_000_000));
    let validity = certificate.validity();
    Some((micros(validity.not_before), micros(validity.not_after)))
}
