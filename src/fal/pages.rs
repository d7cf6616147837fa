//! Answers that come in pages: read one by one, each with its body, to an end that is always reached.
//!
//! Phases of one call of [`Pages::next_page`]: the guards (page cap, a cursor seen before) → the request → the body
//! read → the page, with the position of the one after it. A period is over when its cursor is; then the next one
//! begins. An error changes nothing: the next call asks for the same page again. Only `Ok(None)` says that all there
//! is was read.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::client::Client;
use super::error::{Error, Evidence, Scope, Stage, What};
use super::key::ApiKey;
use super::query::{EventsQuery, Pairs, UsageQuery, Window};
use super::rows::{self, BillingEvent, Next, Usage};
use crate::ledger::Micros;

/// From this length a body is read on a thread that may block.
const LONG_BODY: usize = 256 * 1024;

/// A question that is answered in pages; of this room alone.
pub trait Listing: sealed::Listing {}

pub(super) mod sealed {
    use super::{Error, Next, Pairs, Scope, What, Window};

    /// What [`super::Pages`] needs of a question.
    pub trait Listing: Clone + Send + Sync + 'static {
        /// What is on a page.
        type Rows: Send + 'static;
        /// Under the base URL.
        const PATH: &'static str;
        /// What the key needs.
        const SCOPE: Scope;

        /// Refuses what fal would refuse or misread.
        fn check(&self) -> Result<(), Error>;
        /// The periods that are asked for one after the other.
        fn windows(&self) -> Vec<Window>;
        /// The request's parameters, but for the cursor.
        fn pairs(&self, window: Window) -> Pairs;
        /// Reads a page.
        fn read(&self, body: &[u8]) -> Result<(Self::Rows, Next), What>;
    }
}

impl Listing for UsageQuery {}
impl sealed::Listing for UsageQuery {
    type Rows = Usage;
    const PATH: &'static str = "models/usage";
    const SCOPE: Scope = Scope::Admin;

    fn check(&self) -> Result<(), Error> {
        self.check()
    }
    fn windows(&self) -> Vec<Window> {
        self.windows()
    }
    fn pairs(&self, window: Window) -> Pairs {
        self.pairs(window)
    }
    fn read(&self, body: &[u8]) -> Result<(Usage, Next), What> {
        rows::usage(body, self.series.is_some(), self.summary)
    }
}

impl Listing for EventsQuery {}
impl sealed::Listing for EventsQuery {
    type Rows = Vec<BillingEvent>;
    const PATH: &'static str = "models/billing-events";
    const SCOPE: Scope = Scope::Admin;

    fn check(&self) -> Result<(), Error> {
        self.check()
    }
    fn windows(&self) -> Vec<Window> {
        self.windows()
    }
    fn pairs(&self, window: Window) -> Pairs {
        self.pairs(window)
    }
    fn read(&self, body: &[u8]) -> Result<(Vec<BillingEvent>, Next), What> {
        rows::events(body)
    }
}

/// Where a page is: enough to go on from there in another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The start of the piece of the period that is being read.
    pub window_start: Micros,
    /// The page within it; `None` is the first.
    pub cursor: Option<String>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<Rows> {
    /// What is on it.
    pub rows: Rows,
    /// Its body as it came: the evidence.
    pub raw: Bytes,
    /// The piece of the period that was asked for. A row outside of it is fal's mistake, left to the caller to judge.
    pub window: Window,
    /// Where the page is.
    pub at: Position,
    /// Where the page after it is; `None` on the last one.
    pub next: Option<Position>,
}

/// The pages of an answer. Owns all it needs, so that it may move to a task of its own.
#[derive(Debug)]
pub struct Pages<Q> {
    client: Client,
    key: ApiKey,
    query: Q,
    windows: Vec<Window>,
    /// Which of the windows is being read; past the last one at the end.
    current: usize,
    cursor: Option<String>,
    /// The cursors of this window that were asked with.
    seen: BTreeSet<String>,
    read: u32,
}

impl<Q: Listing> Pages<Q> {
    pub(super) fn new(client: Client, key: ApiKey, query: Q) -> Result<Self, Error> {
        query.check()?;
        let windows = query.windows();
        let (current, cursor, seen, read) = (0, None, BTreeSet::new(), 0);
        Ok(Self { client, key, query, windows, current, cursor, seen, read })
    }

    /// The same pages from another position than the first: one that a page of the same question told.
    ///
    /// # Errors
    /// When the position is not of this question.
    pub fn starting_at(mut self, position: Position) -> Result<Self, Error> {
        let at = self.windows.iter().position(|window| window.start() == position.window_start);
        self.current = at.ok_or(Error::InvalidQuery("a position of another period"))?;
        self.cursor = position.cursor;
        self.seen.clear();
        Ok(self)
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// Whatever [`Error`] says. The position stays: another call asks for the same page.
    pub async fn next_page(&mut self) -> Result<Option<Page<Q::Rows>>, Error> {
        let Some(window) = self.windows.get(self.current).copied() else { return Ok(None) };
        let limit = self.client.most_pages();
        if self.read >= limit {
            return Err(Error::TooManyPages { limit });
        }
        if self.cursor.as_ref().is_some_and(|cursor| self.seen.contains(cursor)) {
            return Err(Error::CursorLoop);
        }
        let mut pairs = self.query.pairs(window);
        if let Some(cursor) = &self.cursor {
            pairs.push(("cursor", cursor.clone()));
        }
        let raw = self.client.get(&self.key, Q::PATH, &pairs, Q::SCOPE).await?;
        let (rows, next) = self.parse(raw.clone()).await?;
        let at = Position { window_start: window.start(), cursor: self.cursor.clone() };
        self.advance(next);
        Ok(Some(Page { rows, raw, window, at, next: self.position() }))
    }

    async fn parse(&self, raw: Bytes) -> Result<(Q::Rows, Next), Error> {
        let read = if raw.len() < LONG_BODY {
            self.query.read(&raw)
        } else {
            let (query, body) = (self.query.clone(), raw.clone());
            match tokio::task::spawn_blocking(move || query.read(&body)).await {
                Ok(read) => read,
                Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
                Err(_) => return Err(Error::Network { stage: Stage::Stopping }),
            }
        };
        read.map_err(|what| Error::Garbage { what, evidence: Evidence(raw) })
    }

    fn advance(&mut self, next: Next) {
        self.read += 1;
        if let Some(cursor) = std::mem::replace(&mut self.cursor, next) {
            self.seen.insert(cursor);
        }
        if self.cursor.is_none() {
            self.current += 1;
            self.seen.clear();
        }
    }

    fn position(&self) -> Option<Position> {
        let window = self.windows.get(self.current)?;
        Some(Position { window_start: window.start(), cursor: self.cursor.clone() })
    }
}
