//! Advertised prices, asked for by model in batches.
//!
//! One model that fal does not know may fail the whole batch, so a failed batch is halved until the unknown ones stand
//! alone. At most two requests a model, and about one for each fifty when all are known.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::client::Client;
use super::error::{Error, Evidence, Scope};
use super::key::ApiKey;
use super::rows::{self, Price};

const PATH: &str = "models/pricing";
/// How many models one request may name.
const BATCH: usize = 50;
/// Pages of one batch: it has at most fifty rows, and is documented to come whole.
const MOST_PAGES: usize = BATCH;

/// The prices of the models that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// In the order of the models' ids.
    pub prices: Vec<Price>,
    /// Models for which fal has no price.
    pub unknown: Vec<String>,
    /// The bodies as they came.
    pub raw: Vec<Bytes>,
}

pub(super) async fn fetch(client: &Client, key: &ApiKey, endpoint_ids: &[String]) -> Result<Prices, Error> {
    if endpoint_ids.iter().any(|id| id.is_empty() || id.contains(',')) {
        return Err(Error::InvalidQuery("a model's id must not be empty nor hold a comma"));
    }
    let ids: Vec<&str> =
        endpoint_ids.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
    let mut found = Prices::default();
    // Last in, first out: the batches go in backwards so that the models come out in order.
    let mut batches: Vec<&[&str]> = ids.chunks(BATCH).rev().collect();
    while let Some(batch) = batches.pop() {
        match one_batch(client, key, batch, &mut found.raw).await {
            Ok(prices) => take(&mut found, batch, prices),
            Err(Error::NotFound { said_by_fal: true }) if batch.len() == 1 => {
                found.unknown.extend(batch.iter().map(|id| (*id).to_owned()));
            }
            Err(Error::NotFound { said_by_fal: true }) => {
                let (left, right) = batch.split_at(batch.len() / 2);
                batches.extend([right, left]);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// Keeps the prices that were asked for; a model without one is unknown.
fn take(found: &mut Prices, batch: &[&str], prices: Vec<Price>) {
    for id in batch {
        let before = found.prices.len();
        found.prices.extend(prices.iter().filter(|price| price.endpoint_id == *id).cloned());
        if found.prices.len() == before {
            found.unknown.push((*id).to_owned());
        }
    }
}

async fn one_batch(
    client: &Client,
    key: &ApiKey,
    batch: &[&str],
    raw: &mut Vec<Bytes>,
) -> Result<Vec<Price>, Error> {
    let mut prices = Vec::new();
    let mut seen = BTreeSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let mut pairs: Vec<_> = batch.iter().map(|id| ("endpoint_id", (*id).to_owned())).collect();
        if let Some(cursor) = cursor {
            pairs.push(("cursor", cursor.clone()));
            if !seen.insert(cursor) {
                return Err(Error::CursorLoop);
            }
        }
        let body = client.get(key, PATH, &pairs, Scope::AnyKey).await?;
        let (page, next) =
            rows::prices(&body).map_err(|what| Error::Garbage { what, evidence: Evidence(body.clone()) })?;
        raw.push(body);
        prices.extend(page);
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(prices),
        }
    }
    Err(Error::TooManyPages { limit: MOST_PAGES as u32 })
}
