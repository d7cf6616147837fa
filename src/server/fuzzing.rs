//! A door for the fuzz targets alone, behind the feature `fuzzing`: raw bytes on a connection, without a socket.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tonic::service::Routes;

use super::auth::Guard;
use super::connection::{Peer, drive, preface};
use super::{ServerOptions, Shutdown, layer};
use crate::meter::Meters;

/// Nothing more is said for so long: with a paused clock, that nobody has anything left to do.
const QUIET: Duration = Duration::from_millis(1);

/// The listening side behind the accept loop.
pub struct Door {
    stack: layer::Stack,
    options: ServerOptions,
    shutdown: Shutdown,
}

impl Door {
    /// In front of these routes.
    pub fn new(routes: Routes) -> Self {
        let (options, shutdown) = (ServerOptions::default(), Shutdown::new());
        let stack = layer::stack(routes, &options, Guard::open(), &shutdown, &Meters::off());
        Self { stack, options, shutdown }
    }

    /// Says these bytes on a new connection, so many at once, and hangs up; answers how many bytes came back. Returns
    /// when the connection is over, which it always must be.
    pub async fn hear(&self, bytes: &[u8], at_once: usize) -> usize {
        let (mut client, server) = tokio::io::duplex(256 * 1024);
        let (stack, options, shutdown) = (self.stack.clone(), self.options.clone(), self.shutdown.follower());
        let connection = tokio::spawn(async move {
            let peer = Peer { address: SocketAddr::from(([127, 0, 0, 1], 1)) };
            if let Some(io) = preface(server, peer, &options, &shutdown).await {
                drive(io, (peer, None), stack, &options, &shutdown, None).await;
            }
        });
        let (mut heard, mut buffer) = (0, vec![0; 16 * 1024]);
        for chunk in bytes.chunks(at_once.max(1)) {
            if client.write_all(chunk).await.is_err() {
                break;
            }
            while let Ok(Ok(count @ 1..)) = timeout(QUIET, client.read(&mut buffer)).await {
                heard += count;
            }
        }
        // What is written to the end is still answered; then nobody is there any more.
        drop(client);
        let ended = timeout(self.options.max_stream_duration * 2, connection).await;
        ended.expect("a connection whose client has gone is over").expect("no connection panics");
        heard
    }
}
