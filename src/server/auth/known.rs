//! The tokens known here: read from the database each second, so that calls are judged without asking it.
//!
//! A token that is made or revoked anywhere is so here within a second. One that is not known makes the next reading
//! come at once, and its call waits for that: a token works from the moment it is made. A database that does not answer
//! leaves the last reading good for [`GOOD_FOR`]; after that nobody is let in by it, and every call asks for the next
//! one, so that the first call after the database is back is judged like any other.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::caller::{Identity, UserRange};
use super::role::Roles;
use crate::clock::Clock;
use crate::ledger::Micros;
use crate::store::StoreError;
use crate::store::tokens::{KnownTokens, TokenDigest, TokenRow, TokenStore};

/// How often tokens are read.
const EVERY: Duration = Duration::from_secs(1);
/// The least time between two readings, whoever asks for one.
const APART: Duration = Duration::from_millis(100);
/// How long one reading may take.
const READING: Duration = Duration::from_secs(3);
/// For how long a reading is good where the database does not answer.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(10);
/// How long a call waits for the next reading.
const PATIENCE: Duration = Duration::from_secs(2);
/// Calls that wait for it at once; further ones are refused.
const WAITING: usize = 256;

/// What one reading found.
pub(super) struct View {
    /// When it began.
    began: Instant,
    /// Whether there is, or ever was, a token.
    pub(super) any: bool,
    /// By the first bytes of the digest, which says nothing of how far the rest agrees.
    tokens: HashMap<u64, Vec<Token>>,
}

/// The last reading that succeeded, and when the last one began that succeeded or failed.
#[derive(Clone)]
struct Readings {
    view: Arc<View>,
    tried: Instant,
}

struct Token {
    digest: TokenDigest,
    expire_time: Option<Micros>,
    identity: Arc<Identity>,
}

impl View {
    fn new(began: Instant, known: &KnownTokens) -> Self {
        let mut tokens: HashMap<u64, Vec<Token>> = HashMap::new();
        for (digest, row) in &known.live {
            // Roles of a later release are roles that this one cannot judge: such a token is not known here.
            let Some(identity) = identity(row) else { continue };
            let token = Token { digest: *digest, expire_time: row.expire_time, identity: Arc::new(identity) };
            tokens.entry(head(digest)).or_default().push(token);
        }
        Self { began, any: known.any, tokens }
    }

    /// Whose token it is, if it is valid.
    pub(super) fn find(&self, digest: &TokenDigest, now: Micros) -> Option<Arc<Identity>> {
        let candidates = self.tokens.get(&head(digest))?;
        let found = candidates.iter().find(|token| bool::from(token.digest.ct_eq(digest)))?;
        let is_valid = found.expire_time.is_none_or(|end| now < end);
        is_valid.then(|| Arc::clone(&found.identity))
    }

    pub(super) fn is_good(&self) -> bool {
        self.began.elapsed() < GOOD_FOR
    }
}

fn head(digest: &TokenDigest) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn identity(row: &TokenRow) -> Option<Identity> {
    let roles = Roles::parse(&row.roles, ',').ok()?;
    let users = row.users.map(|(first, last)| UserRange { first, last });
    Some(Identity { name: Arc::clone(&row.name), roles, users })
}

/// The database did not tell in time, or too many wait for it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotTold;

/// The tokens known here. Clones share them; the last one to go ends the reading.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    readings: watch::Receiver<Readings>,
    wanted: Arc<Notify>,
    waiting: Semaphore,
    clock: Arc<dyn Clock>,
    reading: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Tokens {
    /// Reads the tokens once, and from then on each second on the current runtime.
    ///
    /// # Errors
    /// If the first reading fails: what is not known cannot be served by.
    pub async fn watch(store: Arc<dyn TokenStore>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let began = Instant::now();
        let first = Arc::new(View::new(began, &store.known().await?));
        let (sender, readings) = watch::channel(Readings { view: first, tried: began });
        let wanted = Arc::new(Notify::new());
        let reading = tokio::spawn(read_for_ever(store, sender, Arc::clone(&wanted)));
        let waiting = Semaphore::new(WAITING);
        Ok(Self { inner: Arc::new(Inner { readings, wanted, waiting, clock, reading }) })
    }

    /// Whether the database has, or ever had, a token, as last read.
    pub fn any(&self) -> bool {
        self.view().any
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.inner.readings.borrow().view)
    }

    pub(super) fn now(&self) -> Micros {
        self.inner.clock.now()
    }

    /// What a reading found that began after this was called.
    ///
    /// # Errors
    /// [`NotTold`].
    pub(super) async fn read_anew(&self) -> Result<Arc<View>, NotTold> {
        let _place = self.inner.waiting.try_acquire().map_err(|_| NotTold)?;
        let asked = Instant::now();
        let mut readings = self.inner.readings.clone();
        self.inner.wanted.notify_one();
        let next = readings.wait_for(|readings| readings.tried > asked);
        let Ok(Ok(next)) = tokio::time::timeout(PATIENCE, next).await else { return Err(NotTold) };
        if next.view.began == next.tried { Ok(Arc::clone(&next.view)) } else { Err(NotTold) }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("any", &self.any()).finish_non_exhaustive()
    }
}

async fn read_for_ever(store: Arc<dyn TokenStore>, sender: watch::Sender<Readings>, wanted: Arc<Notify>) {
    let mut is_failing = false;
    let mut had_any = sender.borrow().view.any;
    loop {
        tokio::time::sleep(APART).await;
        tokio::select! {
            biased;
            () = wanted.notified() => {}
            () = tokio::time::sleep(EVERY.saturating_sub(APART)) => {}
        }
        let began = Instant::now();
        match tokio::time::timeout(READING, store.known()).await {
            Ok(Ok(known)) => {
                if std::mem::take(&mut is_failing) {
                    tracing::info!("tokens are read again");
                }
                if known.any && !had_any {
                    tracing::info!("the first token was made: from now on callers must prove who they are");
                }
                had_any = known.any;
                let view = Arc::new(View::new(began, &known));
                sender.send_replace(Readings { view, tried: began });
            }
            failed => {
                sender.send_modify(|readings| readings.tried = began);
                if std::mem::replace(&mut is_failing, true) {
                    continue;
                }
                let cause = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tracing::warn!(cause, good_for = ?GOOD_FOR, "tokens cannot be read: what is known of them is used for a while");
            }
        }
    }
}
