//! The way from a client command to a running server.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use tonic::transport::{Channel, Endpoint};

use super::failure::Failure;
use crate::config::ListenArgs;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the server is.
#[derive(Clone, Debug, Args)]
pub(super) struct RemoteArgs {
    /// Address of the server, as HOST:PORT [default: this machine, at the port of --listen]
    #[arg(long, env = "SCRIP_ADDR", value_name = "HOST:PORT")]
    addr: Option<String>,

    #[command(flatten)]
    listen: ListenArgs,
}

impl RemoteArgs {
    /// The address to call: as given, else where a server with these options can be reached from this machine.
    pub(super) fn address(&self) -> String {
        self.addr.clone().unwrap_or_else(|| reachable(self.listen.listen).to_string())
    }

    /// A connection, made now.
    pub(super) async fn connect(&self) -> Result<Channel, Failure> {
        let address = self.address();
        let url = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let endpoint = Endpoint::from_shared(url)
            .map_err(|_| Failure::CouldNotRun(format!("addr: {address:?} is no HOST:PORT")))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        endpoint.connect().await.map_err(|error| {
            Failure::Refused(format!("no server answers at {address}: {}", root_cause(&error)))
        })
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
