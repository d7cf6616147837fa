//! Every limit of the listening side, in one place, each with its unit and a default that is safe to leave alone.
//!
//! tonic's and hyper's own defaults are "no limit" for several of these; a service that moves money names all of
//! them. [`ServerOptions::validate`] refuses the values that would stop the server from serving at all.

use std::time::Duration;

use thiserror::Error;

/// The largest protobuf message a service decodes, in bytes (16 MiB).
///
/// tonic enforces it a service at a time (`max_decoding_message_size`), so it is a constant the services are built
/// with; a layer turns tonic's refusal into RESOURCE_EXHAUSTED.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// HTTP/2 allows flow-control windows up to 2^31 - 1 bytes; above that the connection would be a protocol error.
const MAX_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// The limits of the listener, its connections and its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Connections served at once. At the cap a new one takes the place of the one that has been silent longest; where all
    /// have spoken it waits until one closes, and those after it in the kernel's backlog. Range ≥ 1, default 10,000.
    pub max_connections: usize,
    /// How long a new connection may take until its HTTP/2 preface (24 bytes) has arrived in full. A connection that
    /// stays silent, or trickles, is closed then. Range > 0, default 10 s.
    pub first_byte_timeout: Duration,
    /// How long the TLS handshake of a new connection may take, before the time for its first byte begins. Range > 0,
    /// default 10 s.
    pub tls_handshake_timeout: Duration,
    /// Calls in flight on one connection; a client holds back what is over it. Range ≥ 1, default 2,048.
    pub max_concurrent_streams: u32,
    /// Size of a call's header list as HTTP/2 counts it, in bytes. Range ≥ 1, default 16 KiB.
    pub max_header_list_bytes: u32,
    /// Calls a client may reset before the server has looked at them, waiting at one time, until the connection is
    /// closed with GOAWAY ("rapid reset"). Default 128.
    pub max_pending_accept_reset_streams: usize,
    /// Calls the server itself reset because of a client's protocol errors, over one connection's life, until it is
    /// closed with GOAWAY. Default 1,024.
    pub max_local_error_reset_streams: usize,
    /// How often an HTTP/2 PING asks a connection whether its peer is alive. Range > 0, default 60 s.
    pub keepalive_interval: Duration,
    /// How long the answer to that PING may take before the connection is closed. Range > 0, default 20 s.
    pub keepalive_timeout: Duration,
    /// Bytes a client may send on one call ahead of the handler. Range 1 … 2^31 - 1, default 512 KiB.
    pub initial_stream_window_bytes: u32,
    /// Bytes a client may send on one connection ahead of its handlers. Range 1 … 2^31 - 1, default 1 MiB.
    pub initial_connection_window_bytes: u32,
    /// Bytes of messages still arriving, over all connections: what all calls together keep in memory before they are
    /// decoded. The first 64 KiB of each call do not count. At the bound, larger calls are OVERLOADED. Range ≥ 16 MiB,
    /// the largest message; default 256 MiB.
    pub max_receiving_bytes: usize,
    /// Bytes of one response buffered for a client that reads slowly. Range 1 … 2^32 - 1, default 256 KiB.
    pub max_send_buffer_bytes: usize,
    /// How long the server works on a call until its response begins, whatever the client's `grpc-timeout` says. A
    /// unary call is over by then. Range > 0, default 60 s.
    pub max_request_timeout: Duration,
    /// How long a response stream may live, counted from the call's start. Longer than a call, because watching
    /// (health, reconciliation) is waiting by design. Range > 0, default 1 h.
    pub max_stream_duration: Duration,
    /// How long a drain waits for calls in flight before what is left is cut. Default 30 s; zero cuts at once.
    pub drain_timeout: Duration,
    /// The age at which a connection is asked (GOAWAY) to finish its calls and come back elsewhere, so that load
    /// spreads over new replicas. No call is cut. Each connection's own age is up to 10 % lower or higher, so that
    /// clients which arrived together do not leave together. Range > 0, default off.
    pub max_connection_age: Option<Duration>,
    /// What the jitter of `max_connection_age` is drawn from; give each process another one. Default 0.
    pub connection_age_seed: u64,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            first_byte_timeout: Duration::from_secs(10),
            tls_handshake_timeout: Duration::from_secs(10),
            max_concurrent_streams: 2_048,
            max_header_list_bytes: 16 * 1024,
            max_pending_accept_reset_streams: 128,
            max_local_error_reset_streams: 1_024,
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            initial_stream_window_bytes: 512 * 1024,
            initial_connection_window_bytes: 1024 * 1024,
            max_receiving_bytes: 256 * 1024 * 1024,
            max_send_buffer_bytes: 256 * 1024,
            max_request_timeout: Duration::from_secs(60),
            max_stream_duration: Duration::from_secs(3_600),
            drain_timeout: Duration::from_secs(30),
            max_connection_age: None,
            connection_age_seed: 0,
        }
    }
}

/// An option with which the server could not serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("server option {name}: {rule}")]
pub struct OptionsError {
    /// The field of [`ServerOptions`].
    pub name: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl ServerOptions {
    /// Refuses values that cannot serve: zeros where something must pass, and sizes HTTP/2 cannot express.
    pub fn validate(&self) -> Result<(), OptionsError> {
        const POSITIVE: &str = "must be above zero";
        const WINDOW: &str = "must be 1 to 2147483647 bytes";
        let window = |bytes: u32| (1..=MAX_WINDOW_BYTES).contains(&bytes);
        let age_ok = self.max_connection_age.is_none_or(|age| !age.is_zero());
        let send_ok = (1..=u32::MAX as usize).contains(&self.max_send_buffer_bytes);
        // tokio's semaphore, which counts the connections, takes no more permits than this.
        let connections_ok = (1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&self.max_connections);
        let rules = [
            (connections_ok, "max_connections", POSITIVE),
            (!self.first_byte_timeout.is_zero(), "first_byte_timeout", POSITIVE),
            (!self.tls_handshake_timeout.is_zero(), "tls_handshake_timeout", POSITIVE),
            (self.max_concurrent_streams > 0, "max_concurrent_streams", POSITIVE),
            (self.max_header_list_bytes > 0, "max_header_list_bytes", POSITIVE),
            (!self.keepalive_interval.is_zero(), "keepalive_interval", POSITIVE),
            (!self.keepalive_timeout.is_zero(), "keepalive_timeout", POSITIVE),
            (window(self.initial_stream_window_bytes), "initial_stream_window_bytes", WINDOW),
            (window(self.initial_connection_window_bytes), "initial_connection_window_bytes", WINDOW),
            (self.max_receiving_bytes >= MAX_MESSAGE_BYTES, "max_receiving_bytes", "must be 16 MiB or more"),
            (send_ok, "max_send_buffer_bytes", "must be 1 to 4294967295 bytes"),
            (!self.max_request_timeout.is_zero(), "max_request_timeout", POSITIVE),
            (!self.max_stream_duration.is_zero(), "max_stream_duration", POSITIVE),
            (age_ok, "max_connection_age", POSITIVE),
        ];
        match rules.into_iter().find(|(ok, ..)| !ok) {
            Some((_, name, rule)) => Err(OptionsError { name, rule }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(ServerOptions::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_option() {
        let none = ServerOptions { max_connections: 0, ..ServerOptions::default() };
        assert_eq!(none.validate().unwrap_err().name, "max_connections");
        let wide = ServerOptions { initial_stream_window_bytes: 1 << 31, ..ServerOptions::default() };
        assert_eq!(wide.validate().unwrap_err().name, "initial_stream_window_bytes");
        let ageless = ServerOptions { max_connection_age: Some(Duration::ZERO), ..ServerOptions::default() };
        assert_eq!(ageless.validate().unwrap_err().name, "max_connection_age");
    }

    #[test]
    fn a_drain_may_cut_at_once() {
        let options = ServerOptions { drain_timeout: Duration::ZERO, ..ServerOptions::default() };
        assert_eq!(options.validate(), Ok(()));
    }
}
