//! The second phase of a run: one snapshot of the evidence, folded by the audit; what it finds is kept as it arises.
//!
//! Streams in turn: tasks against events, as the audit asks for them → what the ledgers say of users → every
//! invariant of the ledgers (`verify`) → the rules on workspaces, models and users, and the report.

use super::failure::{Failure, Source, Why};
use super::keeper::Keeper;
use super::pages;
use super::progress::{Phase, Reporter};
use super::run::{Halt, micros};
use super::settings::{Days, Settings};
use super::summary::{Detail, Summary};
use crate::audit::{self, Audit, Disagreement, Event, Fetch, Need, Scope, Task, UserDay};
use crate::engine;
use crate::keypool::AccountId;
use crate::ledger::{Micros, Text};
use crate::store::Reader;
use crate::store::reconcile::{Evidence, Extent, FetchRow, Quarter, ReconcileStore, Run, Turn};

/// Rows of one read.
const PAGE: u32 = 2_000;
/// Broken invariants of the ledger that become findings; of more, one is told how many.
const MOST_DISAGREEMENTS: usize = 1_000;

/// What the phase needs.
pub(super) struct Judge<'a> {
    pub(super) store: &'a dyn ReconcileStore,
    pub(super) reader: &'a dyn Reader,
    pub(super) run: &'a Run,
    pub(super) turn: Turn,
    pub(super) settings: &'a Settings,
    /// The workspaces that were asked, and through which account.
    pub(super) sources: Vec<(Text, AccountId)>,
    /// The period that billing events were asked for.
    pub(super) events: (Micros, Micros),
    pub(super) evidence_time: Micros,
    pub(super) reporter: &'a Reporter,
}

/// What came of it, besides what is stored.
pub(super) struct Judged {
    pub(super) summary: Summary,
    pub(super) detail: Detail,
    pub(super) findings: [i64; 3],
    pub(super) cost_changes: i64,
}

impl Judge<'_> {
    /// Judges anew, whatever an earlier attempt had found.
    pub(super) async fn judge(&self) -> Result<Judged, Halt> {
        self.store.clear_results(self.turn).await?;
        let fetches = self.store.fetches(self.run.id).await?;
        let extent = Extent {
            pass: self.turn.pass,
            tasks: (self.run.start, self.run.end),
            events: self.events,
            sources: self.sources.clone(),
        };
        let mut evidence = self.store.evidence(&extent).await?;
        let mut accounts = evidence.accounts().await?;
        let failures = self.fill_in(&mut accounts, &fetches);
        let days = self
            .settings
            .days(micros(self.run.start), micros(self.run.end))
            .ok_or_else(|| Halt::Failed(format!("there is no time zone {}", self.settings.timezone)))?;
        let thresholds = self.settings.thresholds.clone();
        let mut audit = Audit::new(self.scope(&days), thresholds, accounts)?;
        let mut keeper = Keeper::new(self.store, self.turn);
        self.matching(&mut audit, &mut *evidence, &mut keeper).await?;
        self.users(&mut audit, &mut *evidence, &days, &mut keeper).await?;
        drop(evidence);
        let unlisted_disagreements = self.verify(&mut audit, &mut keeper).await?;
        let mut report = audit.finish(&mut keeper.out)?;
        keeper.flush().await?;
        keeper.rows(&mut report).await?;
        self.reporter.found(keeper.severities());
        let detail = Detail::taken_from(&mut report);
        let summary = Summary { report, failures, unlisted_disagreements };
        Ok(Judged { summary, detail, findings: keeper.severities(), cost_changes: keeper.costs() })
    }

    fn scope(&self, days: &Days) -> Scope {
        let users = self.run.user_ids.iter().copied();
        Scope {
            start: micros(self.run.start),
            end: micros(self.run.end),
            events_start: micros(self.events.0),
            events_end: micros(self.events.1),
            now: micros(self.evidence_time),
            users: (!self.run.user_ids.is_empty()).then(|| users.collect()),
            calendar: days.calendar.clone(),
            ended_days: self.settings.judges_ended_days,
            rates: self.settings.rates,
        }
    }

    /// Tells the audit which accounts the run is about and what was fetched through them; answers what was not.
    fn fill_in(&self, accounts: &mut [audit::Account], fetches: &[FetchRow]) -> Vec<Failure> {
        let named = |account: &&mut audit::Account| self.run.account_ids.contains(&account.account_id);
        let about: Vec<Text> =
            accounts.iter_mut().filter(named).map(|account| Text::clone(&account.workspace)).collect();
        let mut failures = Vec::new();
        for account in accounts {
            account.selected = self.run.account_ids.is_empty() || about.contains(&account.workspace);
            account.fetch = Fetch::NotAsked;
            account.balance = self.balance(account, fetches);
            // What was fetched through an account that no longer stands for its workspace proves nothing.
            let is_source = self.sources.iter().any(|(_, source)| *source == account.account_id);
            let of_account = fetches.iter().filter(|row| is_source && row.account_id == account.account_id);
            for row in of_account {
                let (source, missing) = match &*row.source {
                    "billing_events" => (Source::BillingEvents, missing_events(row)),
                    "usage" => (Source::Usage, missing(row)),
                    _ => (Source::Balance, missing(row)),
                };
                if source == Source::BillingEvents {
                    account.fetch = if missing.is_none() { Fetch::Complete } else { Fetch::Incomplete };
                }
                if source == Source::Usage && missing.is_none() {
                    account.usage =
                        pages::usage_of(&row.result, micros(self.run.start), micros(self.run.end));
                }
                if missing.is_some() && !row.garbage.is_empty() {
                    account.unreadable.push(source.as_str().into());
                }
                failures.extend(missing.map(|why| failure(account, source, why)));
            }
        }
        failures
    }

    /// What fal told this run of the workspace's credit, as of the moment of the evidence: what is heard later is another
    /// run's. Else what is known of it, of its own time.
    fn balance(&self, account: &audit::Account, fetches: &[FetchRow]) -> Option<(i64, audit::Micros)> {
        let source = self.sources.iter().find(|(workspace, _)| *workspace == account.workspace);
        let heard = source.and_then(|(_, source)| {
            let is_its = |row: &&FetchRow| {
                row.account_id == *source
                    && &*row.source == Source::Balance.as_str()
                    && missing(row).is_none()
            };
            pages::balance_of(&fetches.iter().find(is_its)?.result)
        });
        heard.map(|balance| (balance, micros(self.evidence_time))).or(account.balance)
    }

    async fn matching(
        &self,
        audit: &mut Audit,
        evidence: &mut dyn Evidence,
        keeper: &mut Keeper<'_>,
    ) -> Result<(), Halt> {
        let total = i64::try_from(evidence.estimate().await?).unwrap_or(i64::MAX);
        let (mut tasks, mut events) = (Stream::<Task>::default(), Stream::<Event>::default());
        loop {
            match audit.need() {
                Need::Task => {
                    if tasks.wants_rows() {
                        self.step(audit, total)?;
                        tasks.fill(evidence.tasks(PAGE).await?);
                    }
                    audit.task(tasks.next(), &mut keeper.out)?;
                }
                Need::Event => {
                    if events.wants_rows() {
                        self.step(audit, total)?;
                        events.fill(evidence.events(PAGE).await?);
                    }
                    audit.event(events.next(), &mut keeper.out)?;
                }
                Need::Nothing => break,
            }
            keeper.flush_many().await?;
            self.reporter_found(keeper);
        }
        Ok(())
    }

    /// Says how far the matching is, and ends it where it must not go on.
    fn step(&self, audit: &Audit, total: i64) -> Result<(), Halt> {
        let so_far = audit.progress();
        let done = so_far.tasks.saturating_add(so_far.events);
        self.reporter.show(Phase::Matching, i64::try_from(done).unwrap_or(i64::MAX), total);
        self.go_on()
    }

    fn go_on(&self) -> Result<(), Halt> {
        if self.reporter.is_stopped() { Err(Halt::Stopped) } else { Ok(()) }
    }

    fn reporter_found(&self, keeper: &Keeper<'_>) {
        if self.reporter.progress().findings != keeper.severities() {
            self.reporter.found(keeper.severities());
        }
    }

    async fn users(
        &self,
        audit: &mut Audit,
        evidence: &mut dyn Evidence,
        days: &Days,
        keeper: &mut Keeper<'_>,
    ) -> Result<(), Halt> {
        let mut seen: i64 = 0;
        loop {
            let rows = evidence.user_tasks(PAGE).await?;
            if rows.is_empty() {
                break;
            }
            seen = seen.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
            for row in &rows {
                audit.user_tasks(row)?;
            }
            self.reporter.show(Phase::Checking, seen, 0);
            self.go_on()?;
        }
        let range = (Micros(days.range.0.0), Micros(days.range.1.0));
        let mut day: Option<UserDay> = None;
        loop {
            let rows = evidence.user_quarters(range, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            for quarter in rows {
                if let Some(whole) = add(&mut day, &quarter, days) {
                    audit.user_day(&whole, &mut keeper.out)?;
                }
            }
            keeper.flush_many().await?;
            self.go_on()?;
        }
        if let Some(whole) = day {
            audit.user_day(&whole, &mut keeper.out)?;
        }
        Ok(())
    }

    /// Hands every broken invariant of the ledgers to the audit that it is to tell of, up to a number; answers how many
    /// more of them there are.
    async fn verify(&self, audit: &mut Audit, keeper: &mut Keeper<'_>) -> Result<u64, Halt> {
        let snapshot = self.reader.audit_snapshot().await?;
        let mut found = Vec::new();
        let mut unlisted: u64 = 0;
        let users = &self.run.user_ids;
        let mut hear = |disagreement: engine::Disagreement| {
            let disagreement = of_verify(&disagreement);
            let is_asked_for = |user_id: i64| users.is_empty() || users.contains(&user_id);
            if !disagreement.user_id.is_none_or(is_asked_for) {
                return;
            }
            if found.len() < MOST_DISAGREEMENTS {
                found.push(disagreement);
            } else {
                unlisted = unlisted.saturating_add(1);
            }
        };
        let mut show = |so_far: &engine::Verification| {
            self.reporter.show(Phase::Checking, i64::try_from(so_far.users).unwrap_or(i64::MAX), 0);
        };
        tokio::select! {
            biased;
            () = self.reporter.stopped() => return Err(Halt::Stopped),
            verified = engine::verify(snapshot, &mut hear, &mut show) => verified?,
        };
        for disagreement in &found {
            audit.disagreement(disagreement, &mut keeper.out);
        }
        Ok(unlisted)
    }
}

/// Rows read and not yet taken; the end, once an answer was empty.
struct Stream<T> {
    rows: std::vec::IntoIter<T>,
    has_ended: bool,
}

impl<T> Default for Stream<T> {
    fn default() -> Self {
        Self { rows: Vec::new().into_iter(), has_ended: false }
    }
}

impl<T> Stream<T> {
    fn wants_rows(&self) -> bool {
        self.rows.len() == 0 && !self.has_ended
    }

    fn fill(&mut self, rows: Vec<T>) {
        self.has_ended = rows.is_empty();
        self.rows = rows.into_iter();
    }

    fn next(&mut self) -> Option<T> {
        self.rows.next()
    }
}

/// Adds a quarter of an hour to the day at hand; answers that day when the quarter begins another one.
fn add(day: &mut Option<UserDay>, quarter: &Quarter, days: &Days) -> Option<UserDay> {
    let of = days.calendar.day_of(micros(quarter.start));
    match day {
        Some(at_hand) if (at_hand.user_id, at_hand.day) == (quarter.user_id, of) => {
            at_hand.consumed = at_hand.consumed.saturating_add(quarter.consumed);
            at_hand.refunded = at_hand.refunded.saturating_add(quarter.refunded);
            at_hand.credited = at_hand.credited.saturating_add(quarter.credited);
            None
        }
        _ => day.replace(UserDay {
            user_id: quarter.user_id,
            day: of,
            consumed: quarter.consumed,
            refunded: quarter.refunded,
            credited: quarter.credited,
        }),
    }
}

fn missing(row: &FetchRow) -> Option<Why> {
    match &*row.state {
        "complete" => None,
        _ => Some(Why::from_json(&row.error)),
    }
}

/// An event without a cost is kept and not judged: of its request nothing is proved.
fn missing_events(row: &FetchRow) -> Option<Why> {
    missing(row).or_else(|| match pages::Events::from_json(&row.result).unpriced {
        0 => None,
        1 => Some(Why::unusable("fal gives no cost for 1 event: it is kept, and not judged")),
        many => {
            Some(Why::unusable(format!("fal gives no cost for {many} events: they are kept, and not judged")))
        }
    })
}

fn failure(account: &audit::Account, source: Source, why: Why) -> Failure {
    Failure {
        account_id: account.account_id,
        account_name: account.name.to_string(),
        workspace: account.workspace.to_string(),
        source,
        reason: why.reason,
        http_status: why.http_status,
        message: why.message,
    }
}

fn of_verify(found: &engine::Disagreement) -> Disagreement {
    let mut words = found.key.split(' ');
    let user_id = match (words.next(), words.next()) {
        (Some("user"), Some(number)) => number.parse().ok(),
        _ => None,
    };
    Disagreement {
        user_id,
        table: found.table.into(),
        key: found.key.as_str().into(),
        what: found.what.into(),
        expected: found.expected.as_str().into(),
        found: found.found.as_str().into(),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
