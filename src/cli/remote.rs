//! The way from a client command to a running server, and what proves who calls.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower::Service;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::config::ListenArgs;
use crate::server::auth::holds_token;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The token itself. Environment alone: a flag would show it to every user of the machine.
const TOKEN: &str = "SCRIP_TOKEN";

/// Where the server is, and how it is spoken to.
#[derive(Clone, Debug, Args)]
pub(super) struct RemoteArgs {
    /// Address of the server, as HOST:PORT or https://HOST:PORT [default: this machine, at the port of --listen]
    #[arg(long, env = "SCRIP_ADDR", value_name = "HOST:PORT")]
    addr: Option<String>,

    /// File of the token to call with; the environment variable SCRIP_TOKEN can hold the token itself instead
    #[arg(long, env = "SCRIP_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,

    /// File of the authority of the server's certificate, PEM; with it the connection is encrypted [default: the machine's authorities]
    #[arg(long, env = "SCRIP_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Name that the server's certificate must have [default: the host of --addr]
    #[arg(long, env = "SCRIP_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,

    /// File of a client certificate to show, PEM
    #[arg(long, env = "SCRIP_CLIENT_CERT", value_name = "FILE")]
    client_cert: Option<PathBuf>,

    /// File of its private key, PEM
    #[arg(long, env = "SCRIP_CLIENT_KEY", value_name = "FILE", hide_env_values = true)]
    client_key: Option<PathBuf>,

    #[command(flatten)]
    listen: ListenArgs,
}

impl RemoteArgs {
    /// The address to call: as given, else where a server with these options can be reached from this machine.
    pub(super) fn address(&self) -> String {
        self.addr.clone().unwrap_or_else(|| reachable(self.listen.listen).to_string())
    }

    /// A connection, made now.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let token = self.token()?;
        let tls = self.tls()?;
        let address = self.address();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = if address.contains("://") { address.clone() } else { format!("{scheme}://{address}") };
        let endpoint = Endpoint::from_shared(url)
            .map_err(|_| Failure::CouldNotRun(format!("addr: {address:?} is no HOST:PORT")))?;
        let endpoint = match tls {
            Some(tls) => endpoint.tls_config(tls).map_err(|error| {
                Failure::CouldNotRun(format!("no TLS with these files: {}", root_cause(&error)))
            })?,
            None => endpoint,
        };
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|error| {
            Failure::Refused(format!("no server answers at {address}: {}", root_cause(&error)))
        })?;
        Ok(Connection { channel, token })
    }

    /// The `authorization` header, if there is a token.
    fn token(&self) -> Result<Option<HeaderValue>, Failure> {
        let variable = std::env::var_os(TOKEN).filter(|value| !value.is_empty());
        let token = match (&self.token_file, variable) {
            (Some(_), Some(_)) => {
                return Err(Failure::CouldNotRun(format!(
                    "token-file and {TOKEN} are both given: keep one of them"
                )));
            }
            (Some(path), None) => Zeroizing::new(read("token-file", path)?),
            (None, Some(value)) => Zeroizing::new(value.into_encoded_bytes()),
            (None, None) => return Ok(None),
        };
        let bearer = [b"Bearer ", token.trim_ascii()].concat();
        // The token is not repeated.
        let mut value = HeaderValue::from_bytes(&bearer)
            .map_err(|_| Failure::could_not_run("the token has characters in it that no token has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, Failure> {
        let is_asked = self.addr.as_ref().is_some_and(|addr| addr.starts_with("https://"))
            || self.ca.is_some()
            || self.client_cert.is_some();
        if !is_asked {
            return Ok(None);
        }
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(path) => config.ca_certificate(Certificate::from_pem(read("ca", path)?)),
            None => config.with_native_roots(),
        };
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                let (cert, key) = (read("client-cert", cert)?, Zeroizing::new(read("client-key", key)?));
                Ok(Some(config.identity(Identity::from_pem(cert, &*key))))
            }
            (None, None) => Ok(Some(config)),
            _ => Err(Failure::could_not_run("client-cert and client-key: give both, or neither")),
        }
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    // Taken for a path it would be repeated in the error.
    let text = path.to_string_lossy();
    if holds_token(&text) || text.contains("PRIVATE KEY") {
        return Err(Failure::CouldNotRun(format!(
            "{option}: this is a secret, not the name of a file: put it into a file and give its name"
        )));
    }
    std::fs::read(path).map_err(|error| {
        Failure::CouldNotRun(format!("{option}: {} cannot be read ({})", path.display(), error.kind()))
    })
}

/// A connection on which each call carries the token.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    channel: Channel,
    token: Option<HeaderValue>,
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        self.channel.call(request)
    }
}

/// An address that listens everywhere cannot be called everywhere; this machine can be.
pub(super) fn reachable(bound: std::net::SocketAddr) -> std::net::SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// The innermost cause: "transport error" alone helps nobody.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_listens_everywhere_is_called_here() {
        for (bound, called) in [
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::]:7", "[::1]:7"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("10.1.2.3:7", "10.1.2.3:7"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), called);
        }
    }
}
