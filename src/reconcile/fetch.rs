//! The first phase of a run: what fal says, asked through one account of each workspace, several at a time, and kept
//! page by page with the place after it. What was kept before a crash is not asked for again.
//!
//! A failure is an answer too: it is kept with its reason, and the others go on. What fal cannot be blamed for (the
//! database is away, this process is to stop) ends the phase; nothing kept is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;

use super::accounts::{Accounts, Asker};
use super::balances;
use super::failure::{Source, Why};
use super::pages::{self, Place};
use super::progress::{Phase, Reporter};
use super::run::Halt;
use crate::engine::Handle;
use crate::fal::{self, EventsQuery, UsageQuery, Window};
use crate::keypool::AccountId;
use crate::ledger::{Micros, Text};
use crate::store::reconcile::{FetchRow, GARBAGE_BYTES, ReconcileStore, Run, Turn};

/// The state of a fetch that has not come to its end.
const RUNNING: &str = "running";
/// That of one that was given up.
const FAILED: &str = "failed";

/// What the phase needs.
pub(super) struct Fetcher<'a> {
    pub(super) store: &'a dyn ReconcileStore,
    pub(super) engine: &'a Handle,
    pub(super) client: &'a fal::Client,
    pub(super) run: &'a Run,
    pub(super) turn: Turn,
    /// The period that billing events are asked for.
    pub(super) events: (Micros, Micros),
    /// The period that the usage is asked for.
    pub(super) usage: (Micros, Micros),
    /// Workspaces that are asked at once.
    pub(super) parallel: usize,
    pub(super) reporter: &'a Reporter,
    /// What fal has answered so far.
    pub(super) answers: AtomicI64,
}

impl Fetcher<'_> {
    /// Fetches all there is, and goes on where an earlier attempt ended. Answers the workspaces that were asked, each
    /// with the account that stands for it.
    pub(super) async fn fetch(&self) -> Result<Vec<(Text, AccountId)>, Halt> {
        let kept = self.store.fetches(self.run.id).await?;
        self.answered(kept.iter().map(answers).sum());
        // Balances first: with them come the names of workspaces, by which everything else is asked once.
        let askers = self.askers(&kept).await?;
        let mut asked: Vec<BoxFuture<'_, Result<(), Halt>>> = Vec::with_capacity(askers.len());
        for asker in &askers {
            asked.push(Box::pin(self.balance(asker, row_of(&kept, asker, Source::Balance))));
        }
        self.all(asked).await?;
        let kept = self.store.fetches(self.run.id).await?;
        let askers = self.askers(&kept).await?;
        let doubtful = doubtful(&askers, &kept);
        let mut asked: Vec<BoxFuture<'_, Result<(), Halt>>> = Vec::with_capacity(askers.len());
        for asker in &askers {
            asked.push(Box::pin(self.bill(asker, &kept, doubtful.get(&asker.account_id))));
        }
        self.all(asked).await?;
        Ok(askers.iter().map(|asker| (Text::clone(&asker.workspace), asker.account_id)).collect())
    }

    async fn askers(&self, kept: &[FetchRow]) -> Result<Vec<Asker>, Halt> {
        let accounts = Accounts::read(self.engine).await?;
        let began: BTreeSet<AccountId> = kept.iter().map(|row| row.account_id).collect();
        let workspaces = accounts.workspaces(&self.run.account_ids);
        Ok(accounts.askers(&workspaces, &began, self.engine.keyring()))
    }

    /// Waits for all, a bounded number at a time. The first that must not go on ends it for all.
    async fn all(&self, asked: Vec<BoxFuture<'_, Result<(), Halt>>>) -> Result<(), Halt> {
        let mut asked = stream::iter(asked).buffer_unordered(self.parallel.max(1));
        while let Some(ended) = asked.next().await {
            ended?;
        }
        Ok(())
    }

    /// Counts answers. How many there will be is not known: events come in as many pages as they fill.
    fn answered(&self, more: i64) {
        let before = self.answers.fetch_add(more, Ordering::Relaxed);
        self.reporter.show(Phase::Fetching, before.saturating_add(more), 0);
    }

    async fn balance(&self, asker: &Asker, mut row: FetchRow) -> Result<(), Halt> {
        if &*row.state != RUNNING {
            return Ok(());
        }
        let Ok(key) = &asker.key else { return Ok(()) };
        let answer = self.unless_stopped(self.client.account(key)).await?;
        match answer {
            Ok((account, _)) => {
                balances::hear(self.engine, asker, &account).await?;
                row.result = pages::balance_json(&account).into();
                row.rows = 1;
                self.end(row).await
            }
            Err(error) => self.fail(row, &error).await,
        }
    }

    /// What the workspace was billed: request by request, and the totals to hold that against.
    async fn bill(&self, asker: &Asker, kept: &[FetchRow], doubt: Option<&Why>) -> Result<(), Halt> {
        let events = events_of(kept, asker);
        if let Some(why) = doubt {
            return if &*events.state == RUNNING { self.refuse(events, why).await } else { Ok(()) };
        }
        if &*events.state == RUNNING {
            match &asker.key {
                Ok(key) => self.events(asker, key, events).await?,
                Err(why) => self.refuse(events, why).await?,
            }
        }
        let usage = row_of(kept, asker, Source::Usage);
        match &asker.key {
            Ok(key) if &*usage.state == RUNNING => self.usage(key, usage).await,
            // Said once is enough.
            _ => Ok(()),
        }
    }

    async fn events(&self, asker: &Asker, key: &fal::ApiKey, mut row: FetchRow) -> Result<(), Halt> {
        let asked = Window::new(self.events.0, self.events.1).and_then(|window| {
            let pages = self.client.billing_events(key, EventsQuery::all(window))?;
            match Place::from_json(&row.position) {
                Some(place) => pages.starting_at(place.into()),
                None => Ok(pages),
            }
        });
        let mut pages = match asked {
            Ok(pages) => pages,
            Err(error) => return self.fail(row, &error).await,
        };
        let mut kept = pages::Events::from_json(&row.result);
        kept.workspace = asker.workspace.to_string();
        row.result = kept.to_json().into();
        loop {
            let page = match self.unless_stopped(pages.next_page()).await? {
                Ok(Some(page)) => page,
                Ok(None) => return self.end(row).await,
                Err(error) => return self.fail(row, &error).await,
            };
            let events = match pages::events(&page, &asker.workspace, asker.account_id).await {
                Ok(events) => events,
                Err(why) => {
                    row.garbage = cut(&page.raw);
                    return self.refuse(row, &why).await;
                }
            };
            kept.unpriced += events.iter().filter(|event| event.cost_nano_usd.is_none()).count();
            row.pages = row.pages.saturating_add(1);
            row.rows = row.rows.saturating_add(i64::try_from(events.len()).unwrap_or(i64::MAX));
            row.position = page.next.map(|next| Place::from(next).to_json()).unwrap_or_default().into();
            row.result = kept.to_json().into();
            if row.position.is_empty() {
                row.state = "complete".into();
            }
            self.store.save_fetch(self.turn, &row, &events).await?;
            self.answered(1);
            if row.position.is_empty() {
                return Ok(());
            }
        }
    }

    async fn usage(&self, key: &fal::ApiKey, mut row: FetchRow) -> Result<(), Halt> {
        let asked = Window::new(self.usage.0, self.usage.1)
            .and_then(|window| self.client.usage(key, UsageQuery::totals(window)));
        let mut pages = match asked {
            Ok(pages) => pages,
            Err(error) => return self.fail(row, &error).await,
        };
        // The totals are of the whole period, and the same on every page.
        let (summary, raw) = match self.unless_stopped(pages.next_page()).await? {
            Ok(Some(page)) => (page.rows.summary, page.raw),
            Ok(None) => Default::default(),
            Err(error) => return self.fail(row, &error).await,
        };
        match pages::usage_json(&summary, self.usage) {
            Ok(json) => {
                row.rows = i64::try_from(summary.len()).unwrap_or(i64::MAX);
                row.result = json.into();
                self.end(row).await
            }
            Err(why) => {
                row.garbage = cut(&raw);
                self.refuse(row, &why).await
            }
        }
    }

    /// The answer, unless this process is to stop before it comes.
    async fn unless_stopped<T>(&self, answer: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.reporter.stopped() => Err(Halt::Stopped),
            answer = answer => Ok(answer),
        }
    }

    async fn end(&self, mut row: FetchRow) -> Result<(), Halt> {
        row.state = "complete".into();
        row.position = Text::default();
        self.store.save_fetch(self.turn, &row, &[]).await?;
        self.answered(1);
        Ok(())
    }

    async fn fail(&self, mut row: FetchRow, error: &fal::Error) -> Result<(), Halt> {
        tracing::warn!(account_id = row.account_id, source = &*row.source, %error, "fal was not fetched to the end");
        if let fal::Error::Garbage { evidence, .. } = error {
            row.garbage = cut(&evidence.0);
        }
        self.refuse(row, &Why::from(error)).await
    }

    async fn refuse(&self, mut row: FetchRow, why: &Why) -> Result<(), Halt> {
        row.state = FAILED.into();
        row.error = why.to_json().into();
        self.store.save_fetch(self.turn, &row, &[]).await?;
        self.answered(1);
        Ok(())
    }
}

/// How many answers of fal a fetch has had: pages of events, and what is no page.
fn answers(kept: &FetchRow) -> i64 {
    let is_whole = &*kept.source == Source::BillingEvents.as_str() && &*kept.state != FAILED;
    kept.pages.saturating_add(i64::from(&*kept.state != RUNNING && !is_whole))
}

/// Where the fetch of a source stands; at its beginning if nothing is kept of it.
fn row_of(kept: &[FetchRow], asker: &Asker, source: Source) -> FetchRow {
    let of = |row: &&FetchRow| row.account_id == asker.account_id && &*row.source == source.as_str();
    kept.iter().find(of).cloned().unwrap_or_else(|| FetchRow {
        account_id: asker.account_id,
        source: source.as_str().into(),
        position: Text::default(),
        pages: 0,
        rows: 0,
        state: RUNNING.into(),
        result: Text::default(),
        error: Text::default(),
        garbage: Vec::new(),
    })
}

/// Where the fetch of events stands. What was kept under another name of the workspace is not found under this one: it
/// begins anew.
fn events_of(kept: &[FetchRow], asker: &Asker) -> FetchRow {
    let row = row_of(kept, asker, Source::BillingEvents);
    let is_elsewhere = !row.result.is_empty()
        && &*row.state != FAILED
        && pages::Events::from_json(&row.result).workspace != *asker.workspace;
    if is_elsewhere { row_of(&[], asker, Source::BillingEvents) } else { row }
}

/// The accounts through which no bill is asked for, since it might be that of another workspace and count twice: fal
/// bills the same name for both, or did not tell the name of one that nobody named.
fn doubtful(askers: &[Asker], kept: &[FetchRow]) -> BTreeMap<AccountId, Why> {
    let mut by_name: BTreeMap<String, Vec<&Asker>> = BTreeMap::new();
    let mut doubtful = BTreeMap::new();
    for asker in askers.iter().filter(|asker| asker.key.is_ok()) {
        let balance = row_of(kept, asker, Source::Balance);
        match pages::username_of(&balance.result) {
            Some(name) => by_name.entry(name).or_default().push(asker),
            None if &*balance.state == FAILED && asker.is_unnamed && askers.len() > 1 => {
                doubtful.insert(asker.account_id, Why::from_json(&balance.error));
            }
            None => {}
        }
    }
    for (name, mut same) in by_name {
        same.sort_by_key(|asker| (*asker.workspace != *name, asker.account_id));
        let Some((first, others)) = same.split_first() else { continue };
        for asker in others {
            let why = format!(
                "fal bills this workspace as {name}, as it does {}: give their accounts the same workspace (scrip \
                 keys set {} --workspace {})",
                first.workspace, asker.account_id, first.workspace
            );
            doubtful.insert(asker.account_id, Why::unusable(why));
        }
    }
    doubtful
}

fn cut(body: &[u8]) -> Vec<u8> {
    body[..body.len().min(GARBAGE_BYTES)].to_vec()
}
