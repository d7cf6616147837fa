//! fal's usage, asked for now and kept nowhere.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;

use super::accounts::{Accounts, Asker};
use super::failure::{Failure, Source, Why};
use super::{Error, Parts, period};
use crate::fal::{self, Timeframe, Window};
use crate::keypool::AccountId;
use crate::ledger::{Micros, Rejection, Text};

/// Rows of one answer: beyond them the question is too fine.
const MOST_ROWS: usize = 20_000;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuestion {
    /// Of these accounts; empty: all.
    pub account_ids: Vec<AccountId>,
    /// From when, inclusive.
    pub start: Option<Micros>,
    /// Until when, exclusive; `None`: now.
    pub end: Option<Micros>,
    /// A row for each of these; `None`: for the whole period.
    pub timeframe: Option<Timeframe>,
}

/// A row of fal's usage, with the account it was asked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// The account.
    pub account_id: AccountId,
    /// Its name.
    pub account_name: Text,
    /// Its workspace.
    pub workspace: Text,
    /// When its stretch of time begins.
    pub start: Micros,
    /// What fal says.
    pub row: fal::UsageRow,
}

/// What fal answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageAnswer {
    /// By account, time and model.
    pub lines: Vec<UsageLine>,
    /// What could not be asked.
    pub failures: Vec<Failure>,
}

impl UsageAnswer {
    /// The known costs, summed, in nano-USD; held at the ends of the range.
    pub fn cost_nano_usd(&self) -> i64 {
        let costs = self.lines.iter().filter_map(|line| line.row.cost);
        costs.fold(0, |sum: i64, cost| sum.saturating_add(cost.0))
    }
}

pub(super) async fn ask(parts: &Parts, question: &UsageQuestion) -> Result<UsageAnswer, Error> {
    let now = parts.engine.now().await?;
    let (start, end) = period::check(question.start, question.end, now)?;
    let accounts = Accounts::read(&parts.engine).await?;
    if let Some(missing) = question.account_ids.iter().find(|id| !accounts.has(**id)) {
        return Err(Rejection::AccountNotFound(*missing).into());
    }
    let workspaces = accounts.workspaces(&question.account_ids);
    // An account that is named asks for itself, where it can.
    let named: BTreeSet<AccountId> = question.account_ids.iter().copied().collect();
    let askers = accounts.askers(&workspaces, &named, parts.engine.keyring());
    let timezone = &parts.options.settings.timezone;
    let mut each: Vec<BoxFuture<'_, Result<Vec<UsageLine>, Why>>> = Vec::with_capacity(askers.len());
    for asker in &askers {
        each.push(Box::pin(lines(&parts.client, asker, (start, end), question.timeframe, timezone)));
    }
    let mut asked = stream::iter(each).buffered(parts.options.parallel.max(1)).zip(stream::iter(&askers));
    let mut answer = UsageAnswer::default();
    let mut answered = false;
    while let Some((lines, asker)) = asked.next().await {
        match lines {
            Ok(lines) => {
                answered = true;
                answer.lines.extend(lines);
            }
            Err(why) => answer.failures.push(failure(asker, why)),
        }
        if answer.lines.len() > MOST_ROWS {
            return Err(too_many().into());
        }
    }
    match answer.failures.first() {
        Some(first) if !answered => Err(Error::Upstream(Box::new(first.clone()))),
        _ => Ok(answer),
    }
}

async fn lines(
    client: &fal::Client,
    asker: &Asker,
    (start, end): (Micros, Micros),
    timeframe: Option<Timeframe>,
    timezone: &str,
) -> Result<Vec<UsageLine>, Why> {
    let key = asker.key.as_ref().map_err(Clone::clone)?;
    let window = Window::new(start, end).map_err(|error| Why::from(&error))?;
    let mut query = match timeframe {
        None => fal::UsageQuery::totals(window),
        Some(timeframe) => fal::UsageQuery::by(timeframe, window),
    };
    timezone.clone_into(&mut query.timezone);
    let line = |start: Micros, row: fal::UsageRow| UsageLine {
        account_id: asker.account_id,
        account_name: Text::clone(&asker.name),
        workspace: Text::clone(&asker.workspace),
        start,
        row,
    };
    let mut pages = client.usage(key, query).map_err(|error| Why::from(&error))?;
    let mut found = Vec::new();
    while let Some(page) = pages.next_page().await.map_err(|error| Why::from(&error))? {
        if timeframe.is_none() {
            // Totals are the same on every page.
            found.extend(page.rows.summary.into_iter().map(|row| line(start, row)));
            break;
        }
        for bucket in page.rows.buckets {
            // The first one may begin before the period does.
            let begins = bucket.start.max(start);
            found.extend(bucket.rows.into_iter().map(|row| line(begins, row)));
        }
        if found.len() > MOST_ROWS {
            break;
        }
    }
    found.sort_by(|one, other| {
        (one.start, &one.row.endpoint_id, &one.row.unit).cmp(&(
            other.start,
            &other.row.endpoint_id,
            &other.row.unit,
        ))
    });
    Ok(found)
}

fn too_many() -> Rejection {
    let why = format!(
        "makes more than {MOST_ROWS} rows of this period: ask for a shorter one, or for longer stretches"
    );
    Rejection::field("timeframe", why)
}

fn failure(asker: &Asker, why: Why) -> Failure {
    Failure {
        account_id: asker.account_id,
        account_name: asker.name.to_string(),
        workspace: asker.workspace.to_string(),
        source: Source::Usage,
        reason: why.reason,
        http_status: why.http_status,
        message: why.message,
    }
}
