//! Who may connect and call: TLS, authentication, and the way past both.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use crate::server::auth::{CertificateRoles, Demand};
use crate::server::tls::TlsFiles;

/// Who may connect and call.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Security options")]
pub struct SecurityArgs {
    /// File of the server's certificate and the chain to its authority, PEM; read anew when it changes
    #[arg(long, env = "SCRIP_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// File of the private key of that certificate, PEM; read anew when it changes
    #[arg(long, env = "SCRIP_TLS_KEY", value_name = "FILE", hide_env_values = true)]
    pub tls_key: Option<PathBuf>,

    /// File of the authorities whose client certificates are accepted, and of their revocation lists, PEM
    ///
    /// Read anew when it changes. A caller may show a certificate or a token: either proves who it is.
    #[arg(long, env = "SCRIP_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Roles of client certificates, such as spiffe://example.org/checkout=biller+runner,CN=ops=admin
    ///
    /// The exact SPIFFE ID of a certificate, or its exact common name if it has none. Roles are biller, runner, cashier,
    /// auditor and admin.
    #[arg(long, env = "SCRIP_CLIENT_ROLES", value_name = "NAME=ROLE+ROLE,…")]
    pub client_roles: Option<String>,

    /// Whether callers must prove who they are: auto, or required
    ///
    /// auto: required beyond this machine, with --client-ca, and as soon as the database has a token; before that, callers
    /// on this machine are served without a name.
    #[arg(long, env = "SCRIP_AUTH", value_name = "WHEN", default_value = "auto")]
    pub auth: AuthMode,

    /// Listen beyond this machine without TLS, and without authentication until the first token: for a network that is
    /// guarded by something else
    #[arg(long, env = "SCRIP_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
}

/// Whether callers must prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// Where they could be anybody, and as soon as there is a token.
    #[default]
    Auto,
    /// Always.
    Required,
}

/// What follows from the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityPlan {
    /// Whether callers must prove who they are.
    pub demand: Demand,
    /// What connections are encrypted with.
    pub tls: Option<TlsFiles>,
    /// What client certificates are good for.
    pub certificates: CertificateRoles,
    /// Whether everybody who reaches the address hears and says everything in the clear.
    pub is_exposed: bool,
}

impl SecurityArgs {
    /// What the options come to for a server that listens here.
    ///
    /// # Errors
    /// If they contradict each other, or would serve strangers.
    pub fn plan(&self, listen: SocketAddr) -> Result<SecurityPlan, String> {
        let tls = self.tls()?;
        let certificates = match &self.client_roles {
            Some(text) => CertificateRoles::parse(text).map_err(|why| format!("client-roles: {why}"))?,
            None => CertificateRoles::default(),
        };
        if self.client_ca.is_some() && certificates.is_empty() {
            return Err("client-ca: no certificate has a role yet: give client-roles as well".to_owned());
        }
        if self.client_ca.is_none() && !certificates.is_empty() {
            return Err("client-roles: without client-ca no client shows a certificate".to_owned());
        }
        // What a proxy or a container maps to the loopback is not seen from here.
        let is_beyond = !listen.ip().to_canonical().is_loopback();
        if is_beyond && tls.is_none() && !self.insecure {
            return Err(format!(
                "listen: {listen} can be reached from other machines, and nothing would be encrypted: give tls-cert and \
                 tls-key, or say --insecure if something in front of it encrypts"
            ));
        }
        let is_required =
            self.auth == AuthMode::Required || self.client_ca.is_some() || is_beyond && !self.insecure;
        Ok(SecurityPlan {
            demand: if is_required { Demand::Always } else { Demand::WithFirstToken },
            is_exposed: is_beyond && tls.is_none(),
            tls,
            certificates,
        })
    }

    fn tls(&self) -> Result<Option<TlsFiles>, String> {
        // Taken for a path it would be repeated in the error, and so in a log.
        if self.tls_key.as_ref().is_some_and(|path| path.to_string_lossy().contains("PRIVATE KEY")) {
            return Err("tls-key: this is a key, not the name of a file: give the file's name".to_owned());
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                let (cert, key, client_ca) = (cert.clone(), key.clone(), self.client_ca.clone());
                Ok(Some(TlsFiles { cert, key, client_ca }))
            }
            (Some(_), None) => Err("tls-cert: its key is missing: give tls-key as well".to_owned()),
            (None, Some(_)) => Err("tls-key: its certificate is missing: give tls-cert as well".to_owned()),
            (None, None) if self.client_ca.is_some() => {
                Err("client-ca: clients show certificates over TLS alone: give tls-cert and tls-key as well"
                    .to_owned())
            }
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> SecurityArgs {
        SecurityArgs {
            tls_cert: Some("server.pem".into()),
            tls_key: Some("server.key".into()),
            ..SecurityArgs::default()
        }
    }

    fn with_clients() -> SecurityArgs {
        SecurityArgs {
            client_ca: Some("ca.pem".into()),
            client_roles: Some("CN=ops=admin".to_owned()),
            ..tls()
        }
    }

    fn plan(args: &SecurityArgs, listen: &str) -> Result<SecurityPlan, String> {
        args.plan(listen.parse().unwrap())
    }

    #[test]
    fn on_this_machine_nothing_is_asked_until_there_is_a_token() {
        for listen in ["127.0.0.1:1", "[::1]:1", "127.8.8.8:1", "[::ffff:127.0.0.1]:1"] {
            let plan = plan(&SecurityArgs::default(), listen).unwrap();
            assert_eq!((plan.demand, plan.tls, plan.is_exposed), (Demand::WithFirstToken, None, false));
        }
        let required = SecurityArgs { auth: AuthMode::Required, ..SecurityArgs::default() };
        assert_eq!(plan(&required, "127.0.0.1:1").unwrap().demand, Demand::Always);
        assert_eq!(plan(&with_clients(), "127.0.0.1:1").unwrap().demand, Demand::Always);
    }

    #[test]
    fn beyond_this_machine_nothing_is_served_in_the_clear_or_to_strangers_unless_that_is_said() {
        for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1"] {
            for args in [
                SecurityArgs::default(),
                SecurityArgs { auth: AuthMode::Required, ..SecurityArgs::default() },
            ] {
                let refused = plan(&args, listen).unwrap_err();
                assert!(refused.contains("tls-cert") && refused.contains("--insecure"), "{refused}");
            }
            assert_eq!(plan(&tls(), listen).unwrap().demand, Demand::Always);
            let said = SecurityArgs { insecure: true, ..SecurityArgs::default() };
            let open = plan(&said, listen).unwrap();
            assert_eq!((open.demand, open.is_exposed), (Demand::WithFirstToken, true));
            let behind_a_mesh = SecurityArgs { auth: AuthMode::Required, ..said };
            assert_eq!(plan(&behind_a_mesh, listen).unwrap().demand, Demand::Always);
        }
    }

    #[test]
    fn options_that_need_each_other_say_which() {
        let one = |change: fn(&mut SecurityArgs)| {
            let mut args = with_clients();
            change(&mut args);
            plan(&args, "127.0.0.1:1").unwrap_err()
        };
        assert!(one(|args| args.tls_key = None).contains("give tls-key"));
        assert!(one(|args| args.tls_cert = None).contains("give tls-cert"));
        assert!(one(|args| (args.tls_key, args.tls_cert) = (None, None)).starts_with("client-ca: "));
        assert!(one(|args| args.client_roles = None).contains("give client-roles"));
        assert!(one(|args| args.client_ca = None).contains("without client-ca"));
        let misplaced = one(|args| args.tls_key = Some("-----BEGIN PRIVATE KEY-----\ncAnArY".into()));
        assert!(misplaced.contains("not the name of a file") && !misplaced.contains("cAnArY"), "{misplaced}");
        assert!(one(|args| args.client_roles = Some("ops".into())).starts_with("client-roles: \"ops\""));
    }
}
