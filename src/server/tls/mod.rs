//! TLS: the server's certificate, the authority of its clients, and both read anew when their files change.
//!
//! | phase | where |
//! |---|---|
//! | read and check the files; what cannot serve refuses the start, or later leaves the old ones in place | `files` |
//! | look at the files every few seconds; what is in them decides, not when they were written | here |
//! | shake hands within a bounded time, HTTP/2 alone | `Tls::greet` |
//! | who a client's certificate names, and whether it still holds when a call is made | `client` |
//!
//! Sessions are not resumed: a client that comes back shows its certificate again.

mod client;
mod files;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(super) use self::client::{Presented, Unfit};
use super::{Peer, Shutdown};
use crate::clock::Clock;
use crate::ledger::Micros;

pub use self::files::TlsError;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and the chain to its authority, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authorities of client certificates, and lists of what they revoked, PEM; `None`: no client shows one.
    pub client_ca: Option<PathBuf>,
}

/// Until when what is in use is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The server's certificate.
    pub server: Micros,
    /// The first of the clients' authorities to expire, where there are any.
    pub client_ca: Option<Micros>,
}

/// What was read from the files.
struct Loaded {
    config: Arc<ServerConfig>,
    /// Judges client certificates.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    expiry: Expiry,
    /// One more with each reading: what was judged before is judged again.
    generation: u64,
    /// Of the contents.
    digest: [u8; 32],
}

/// What connections are encrypted with. Clones share it; the last one to go ends the looking.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    loaded: watch::Receiver<Arc<Loaded>>,
    expiry: watch::Receiver<Expiry>,
    clock: Arc<dyn Clock>,
    looking: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Tls {
    /// Reads the files, and from then on looks at them on the current runtime.
    ///
    /// # Errors
    /// What is wrong with which file, never with what is in it.
    pub async fn watch(files: TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let (contents, digest) = files::read(&files).await?;
        let first = files::load(&files, &contents, clock.now(), None)?;
        let first = Loaded { generation: 1, digest, ..first };
        warn_of_end(&first.expiry, clock.now());
        let (expiry_sender, expiry) = watch::channel(first.expiry);
        let (sender, loaded) = watch::channel(Arc::new(first));
        let looking = tokio::spawn(look_for_ever(files, (sender, expiry_sender), Arc::clone(&clock)));
        Ok(Self { inner: Arc::new(Inner { loaded, expiry, clock, looking }) })
    }

    /// Until when what is in use is valid; changes are signalled.
    pub fn expiry(&self) -> watch::Receiver<Expiry> {
        self.inner.expiry.clone()
    }

    /// Whether clients may show certificates.
    pub fn knows_clients(&self) -> bool {
        self.loaded().verifier.is_some()
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.inner.loaded.borrow())
    }

    /// Shakes hands; `None` if that fails, takes too long, or a drain begins.
    pub(super) async fn greet<Io>(
        &self,
        io: Io,
        peer: Peer,
        limit: Duration,
        shutdown: &Shutdown,
    ) -> Option<(TlsStream<Io>, Option<Presented>)>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let loaded = self.loaded();
        let accepting = TlsAcceptor::from(Arc::clone(&loaded.config)).accept(io);
        let greeted = tokio::select! {
            biased;
            () = shutdown.draining() => return None,
            greeted = tokio::time::timeout(limit, accepting) => greeted,
        };
        match greeted {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates().filter(|chain| !chain.is_empty());
                let presented = chain.map(|chain| Presented::new(self.clone(), chain, loaded.generation));
                Some((stream, presented))
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %peer.address, %error, "closed: no TLS");
                None
            }
            Err(_) => {
                tracing::debug!(peer = %peer.address, "closed: no TLS handshake in time");
                None
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("expiry", &*self.inner.expiry.borrow()).finish_non_exhaustive()
    }
}

type Senders = (watch::Sender<Arc<Loaded>>, watch::Sender<Expiry>);

async fn look_for_ever(files: TlsFiles, (sender, expiry): Senders, clock: Arc<dyn Clock>) {
    // What was last refused: the same contents are refused once, not every two seconds.
    let mut refused: Option<String> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (old_digest, generation, in_use) = {
            let old = sender.borrow();
            (old.digest, old.generation, old.expiry)
        };
        let read = files::read(&files).await.and_then(|(contents, digest)| {
            if digest == old_digest {
                return Ok(None);
            }
            let loaded = files::load(&files, &contents, clock.now(), Some(in_use))?;
            Ok(Some(Loaded { generation: generation + 1, digest, ..loaded }))
        });
        match read {
            Ok(None) => refused = None,
            Ok(Some(loaded)) => {
                refused = None;
                let Expiry { server, client_ca } = loaded.expiry;
                let (server, client_ca) = (day(server), client_ca.map(day));
                tracing::info!(
                    valid_until = server,
                    authorities_until = client_ca,
                    "certificates were read anew"
                );
                warn_of_end(&loaded.expiry, clock.now());
                expiry.send_replace(loaded.expiry);
                sender.send_replace(Arc::new(loaded));
            }
            Err(error) => {
                let words = error.to_string();
                if refused.as_ref() != Some(&words) {
                    tracing::error!(%error, "changed certificates cannot be used: those from before stay in use");
                    refused = Some(words);
                }
            }
        }
    }
}

/// For people; what is beyond all calendars is as good as never.
fn day(moment: Micros) -> String {
    jiff::Timestamp::from_microsecond(moment.0).map_or_else(|_| "never".to_owned(), |time| time.to_string())
}

fn warn_of_end(expiry: &Expiry, now: Micros) {
    if expiry.server <= now {
        tracing::error!("the server's certificate has expired: clients that check it will not connect");
    }
    if expiry.client_ca.is_some_and(|end| end <= now) {
        tracing::error!("an authority of client certificates has expired: its certificates are not accepted");
    }
}

fn digest_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update(u64::try_from(part.len()).unwrap_or_default().to_be_bytes());
        sum.update(part);
    }
    sum.finalize().into()
}
