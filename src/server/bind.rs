//! From the text of `--listen` to a listening socket, with errors an operator can act on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;
use tokio::net::TcpListener;

/// Why the server could not listen, and what to do about it.
#[derive(Debug, Error)]
pub enum BindError {
    /// The text is no address.
    #[error(
        "cannot listen on {given:?}: expected IP:PORT, such as 127.0.0.1:50051, [::1]:50051 or 0.0.0.0:50051"
    )]
    Malformed {
        /// The text as given.
        given: String,
    },
    /// Another process listens there.
    #[error("cannot listen on {address}: address in use: another scrip? choose another one")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address belongs to no interface of this host.
    #[error("cannot listen on {address}: no interface of this host has that address; choose another one")]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The process may not listen there.
    #[error(
        "cannot listen on {address}: permission denied (ports below 1024 need a privilege); choose another one"
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else the system said.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads a listen address: `IP:PORT`, `[IPv6]:PORT`, or `localhost:PORT` for 127.0.0.1.
///
/// Other names are refused rather than resolved: where a service listens must not depend on a name server.
pub fn parse_listen(text: &str) -> Result<SocketAddr, BindError> {
    let malformed = || BindError::Malformed { given: text.to_owned() };
    match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse().map_err(|_| malformed())?;
            Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        }
        None => text.parse().map_err(|_| malformed()),
    }
}

/// Listens on `address`; port 0 takes any free one (ask the listener which).
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        _ => BindError::Other { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read() {
        assert_eq!(parse_listen("127.0.0.1:50051").unwrap().to_string(), "127.0.0.1:50051");
        assert_eq!(parse_listen("[::1]:1").unwrap().to_string(), "[::1]:1");
        assert_eq!(parse_listen("localhost:7").unwrap().to_string(), "127.0.0.1:7");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for given in ["", "50051", ":50051", "127.0.0.1", "localhost:", "example.com:1", "127.0.0.1:99999"] {
            let message = parse_listen(given).unwrap_err().to_string();
            assert!(message.contains("127.0.0.1:50051"), "{given:?}: {message}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let first = bind(parse_listen("127.0.0.1:0").unwrap()).await.unwrap();
        let taken = first.local_addr().unwrap();
        let message = bind(taken).await.unwrap_err().to_string();
        assert!(message.contains(&taken.to_string()), "{message}");
        assert!(message.contains("address in use: another scrip? choose another one"), "{message}");
    }

    #[tokio::test]
    async fn an_address_of_another_host_is_told_apart() {
        // 192.0.2.0/24 is reserved for documentation, so no interface has it.
        let error = bind("192.0.2.1:50051".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
    }
}
