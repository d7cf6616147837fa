//! Certificates of all kinds of badness, made for one test each.

// Every crate that includes this uses a part, and nothing is reachable from outside a test crate.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// An authority, whose certificate is in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2060, 1, 1));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for servers on this machine, valid to the first day of this year.
    pub fn server(&self, until: i32) -> Pair {
        self.server_within(2020, until)
    }

    /// Likewise, valid from the first day of this year to that of 2050.
    pub fn server_from(&self, from: i32) -> Pair {
        self.server_within(from, 2050)
    }

    fn server_within(&self, from: i32, until: i32) -> Pair {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        self.sign(params)
    }

    /// A client's certificate with these SPIFFE IDs and this common name.
    pub fn client(&self, ids: &[&str], name: &str) -> Pair {
        self.client_until(ids, name, 2050)
    }

    /// Likewise, valid to the first day of this year.
    pub fn client_until(&self, ids: &[&str], name: &str, until: i32) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let ids = ids.iter().map(|&id| SanType::URI(id.try_into().unwrap()));
        params.subject_alt_names = ids.collect();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        params.serial_number = Some(serial(name));
        self.sign(params)
    }

    /// A list that revokes the client certificates of this common name.
    pub fn revoking(&self, name: &str) -> String {
        let revoked = RevokedCertParams {
            serial_number: serial(name),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2060, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// The same name has the same number.
fn serial(name: &str) -> SerialNumber {
    SerialNumber::from_slice(&[&[1], name.as_bytes()].concat())
}

impl Pair {
    /// Writes both into a folder under these names; answers where they are.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (cert, key)
    }
}
