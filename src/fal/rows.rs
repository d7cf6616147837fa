//! fal's answers, read: figures exactly, old rows and new, and nothing taken for zero that is absent.
//!
//! Phases: the JSON is read into the documented shape with every number still text; then each figure is read by its
//! kind. A body of which one row cannot be read is refused whole: half a bill is no bill. Amounts in another currency
//! than US dollars are refused too, as nothing downstream asks for one.

use serde::Deserialize;
use serde_json::Number;

use super::decimal::{Decimal, DecimalError, NanoUsd};
use super::error::What;
use crate::ledger::Micros;

/// The longest cursor that is kept and sent back.
const CURSOR_BYTES: usize = 4096;

/// Who made the calls of a row, where that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Auth {
    /// A text for people.
    #[serde(default)]
    pub detail: String,
    /// The id of the key, where it was one.
    #[serde(default)]
    pub api_key_id: Option<String>,
    /// The person, where it was one.
    #[serde(default)]
    pub login_username: Option<String>,
}

/// Usage of one model at one price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The model.
    pub endpoint_id: String,
    /// What is counted: free text, singular or plural.
    pub unit: String,
    /// How many **units** (megapixels, seconds, images …), not requests.
    pub quantity: Decimal,
    /// Dollars a unit, before any discount.
    pub unit_price: Decimal,
    /// Absent in rows before 2026-07-21, and where there is none.
    pub percent_discount: Option<Decimal>,
    /// Before the discount; absent in older rows.
    pub cost_subtotal: Option<NanoUsd>,
    /// The discount; absent in older rows.
    pub cost_discount: Option<NanoUsd>,
    /// What is charged: `cost_total`, or `cost` in older rows. Absent means unknown, not nothing.
    pub cost: Option<NanoUsd>,
    /// Who, where that was asked for.
    pub auth: Option<Auth>,
}

/// Usage within one bucket of a time series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When it begins.
    pub start: Micros,
    /// One row a model, unit price and discount. Often empty.
    pub rows: Vec<UsageRow>,
}

/// A page of usage.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// The series, where it was asked for.
    pub buckets: Vec<Bucket>,
    /// The totals of the whole period, where they were asked for: the same on each page.
    pub summary: Vec<UsageRow>,
}

/// What fal charged for one request. One that fal retried may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingEvent {
    /// The request, as the runner knows it.
    pub request_id: String,
    /// The model.
    pub endpoint_id: String,
    /// When, to the precision that fal gives.
    pub timestamp: Micros,
    /// How many units; absent where fal does not say.
    pub output_units: Option<Decimal>,
    /// Dollars a unit, before any discount; absent where fal does not say.
    pub unit_price: Option<Decimal>,
    /// Absent where there is none.
    pub percent_discount: Option<Decimal>,
    /// Before the discount; absent in older rows.
    pub cost_subtotal: Option<NanoUsd>,
    /// The discount; absent in older rows.
    pub cost_discount: Option<NanoUsd>,
    /// What is charged, in dollars; absent in older rows.
    pub cost_total: Option<NanoUsd>,
    /// The same charge as fal writes it in nano-USD.
    pub cost_estimate: Option<NanoUsd>,
    /// Who, where that was asked for.
    pub auth: Option<Auth>,
}

impl BillingEvent {
    /// What is charged. `None` means unknown, not nothing.
    pub fn cost(&self) -> Option<NanoUsd> {
        self.cost_total.or(self.cost_estimate)
    }
}

/// The advertised price of a model; billed prices have been seen to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The model.
    pub endpoint_id: String,
    /// Dollars a unit.
    pub unit_price: Decimal,
    /// What is counted: free text, singular or plural.
    pub unit: String,
}

/// An account as fal's billing knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name of the workspace that is billed.
    pub username: String,
    /// Its prepaid balance; absent where fal does not say.
    pub balance: Option<NanoUsd>,
}

/// The cursor of the page after this one; `None` at the end.
pub(super) type Next = Option<String>;

#[derive(Deserialize)]
struct RawUsagePage {
    time_series: Option<Vec<RawBucket>>,
    summary: Option<Vec<RawUsageRow>>,
    next_cursor: Option<String>,
    has_more: Option<bool>,
}

#[derive(Deserialize)]
struct RawBucket {
    bucket: String,
    results: Vec<RawUsageRow>,
}

#[derive(Deserialize)]
struct RawUsageRow {
    endpoint_id: String,
    unit: String,
    quantity: Number,
    unit_price: Number,
    percent_discount: Option<Number>,
    cost_subtotal: Option<Number>,
    cost_discount: Option<Number>,
    cost_total: Option<Number>,
    cost: Option<Number>,
    currency: String,
    auth_method_structured: Option<Auth>,
}

#[derive(Deserialize)]
struct RawEventsPage {
    billing_events: Vec<RawEvent>,
    next_cursor: Option<String>,
    has_more: Option<bool>,
}

#[derive(Deserialize)]
struct RawEvent {
    request_id: String,
    endpoint_id: String,
    timestamp: String,
    output_units: Option<Number>,
    unit_price: Option<Number>,
    percent_discount: Option<Number>,
    cost_subtotal: Option<Number>,
    cost_discount: Option<Number>,
    cost_total: Option<Number>,
    cost_estimate_nano_usd: Option<Number>,
    auth_method_structured: Option<Auth>,
}

#[derive(Deserialize)]
struct RawPricesPage {
    prices: Vec<RawPrice>,
    next_cursor: Option<String>,
    has_more: Option<bool>,
}

#[derive(Deserialize)]
struct RawPrice {
    endpoint_id: String,
    unit_price: Number,
    unit: String,
    currency: String,
}

#[derive(Deserialize)]
struct RawAccount {
    username: String,
    credits: Option<RawCredits>,
}

#[derive(Deserialize)]
struct RawCredits {
    current_balance: Number,
    currency: String,
}

/// A page of usage. What was asked for has to be there: an absent series is not an empty one.
pub(super) fn usage(body: &[u8], series: bool, summary: bool) -> Result<(Usage, Next), What> {
    let raw: RawUsagePage = shape(body)?;
    if series && raw.time_series.is_none() {
        return Err(What { field: "time_series", why: "absent though asked for" });
    }
    if summary && raw.summary.is_none() {
        return Err(What { field: "summary", why: "absent though asked for" });
    }
    let buckets = raw.time_series.unwrap_or_default().into_iter().map(RawBucket::read);
    let totals = raw.summary.unwrap_or_default().into_iter().map(RawUsageRow::read);
    let usage =
        Usage { buckets: buckets.collect::<Result<_, _>>()?, summary: totals.collect::<Result<_, _>>()? };
    Ok((usage, next(raw.next_cursor, raw.has_more)?))
}

/// A page of billing events.
pub(super) fn events(body: &[u8]) -> Result<(Vec<BillingEvent>, Next), What> {
    let raw: RawEventsPage = shape(body)?;
    let events = raw.billing_events.into_iter().map(RawEvent::read).collect::<Result<_, _>>()?;
    Ok((events, next(raw.next_cursor, raw.has_more)?))
}

/// A page of prices.
pub(super) fn prices(body: &[u8]) -> Result<(Vec<Price>, Next), What> {
    let raw: RawPricesPage = shape(body)?;
    let prices = raw.prices.into_iter().map(RawPrice::read).collect::<Result<_, _>>()?;
    Ok((prices, next(raw.next_cursor, raw.has_more)?))
}

/// The account.
pub(super) fn account(body: &[u8]) -> Result<Account, What> {
    let raw: RawAccount = shape(body)?;
    let balance = match raw.credits {
        Some(credits) => {
            dollars(&credits.currency)?;
            Some(money("current_balance", &credits.current_balance)?)
        }
        None => None,
    };
    Ok(Account { username: text("username", raw.username)?, balance })
}

impl RawBucket {
    fn read(self) -> Result<Bucket, What> {
        let rows = self.results.into_iter().map(RawUsageRow::read).collect::<Result<_, _>>()?;
        Ok(Bucket { start: moment("bucket", &self.bucket)?, rows })
    }
}

impl RawUsageRow {
    fn read(self) -> Result<UsageRow, What> {
        dollars(&self.currency)?;
        let total = optional("cost_total", self.cost_total.as_ref(), money)?;
        let older = optional("cost", self.cost.as_ref(), money)?;
        Ok(UsageRow {
            endpoint_id: text("endpoint_id", self.endpoint_id)?,
            unit: self.unit,
            quantity: decimal("quantity", &self.quantity)?,
            unit_price: decimal("unit_price", &self.unit_price)?,
            percent_discount: optional("percent_discount", self.percent_discount.as_ref(), decimal)?,
            cost_subtotal: optional("cost_subtotal", self.cost_subtotal.as_ref(), money)?,
            cost_discount: optional("cost_discount", self.cost_discount.as_ref(), money)?,
            cost: total.or(older),
            auth: self.auth_method_structured,
        })
    }
}

impl RawEvent {
    fn read(self) -> Result<BillingEvent, What> {
        let nano = |field, number: &Number| figure(field, NanoUsd::from_nano_text(number.as_str()));
        Ok(BillingEvent {
            request_id: text("request_id", self.request_id)?,
            endpoint_id: text("endpoint_id", self.endpoint_id)?,
            timestamp: moment("timestamp", &self.timestamp)?,
            output_units: optional("output_units", self.output_units.as_ref(), decimal)?,
            unit_price: optional("unit_price", self.unit_price.as_ref(), decimal)?,
            percent_discount: optional("percent_discount", self.percent_discount.as_ref(), decimal)?,
            cost_subtotal: optional("cost_subtotal", self.cost_subtotal.as_ref(), money)?,
            cost_discount: optional("cost_discount", self.cost_discount.as_ref(), money)?,
            cost_total: optional("cost_total", self.cost_total.as_ref(), money)?,
            cost_estimate: optional("cost_estimate_nano_usd", self.cost_estimate_nano_usd.as_ref(), nano)?,
            auth: self.auth_method_structured,
        })
    }
}

impl RawPrice {
    fn read(self) -> Result<Price, What> {
        dollars(&self.currency)?;
        Ok(Price {
            endpoint_id: text("endpoint_id", self.endpoint_id)?,
            unit_price: decimal("unit_price", &self.unit_price)?,
            unit: self.unit,
        })
    }
}

fn shape<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, What> {
    use serde_json::error::Category;
    serde_json::from_slice(body).map_err(|error| {
        let why = match error.classify() {
            Category::Eof => "JSON that ends early",
            Category::Data => "JSON of another shape than documented",
            Category::Syntax | Category::Io => "not JSON",
        };
        What { field: "", why }
    })
}

/// The cursor to go on with. A page that says there is more and not where is no page to build on; one that says there
/// is no more is the last, whatever cursor it has.
fn next(cursor: Option<String>, has_more: Option<bool>) -> Result<Next, What> {
    let what = |why| Err(What { field: "next_cursor", why });
    match (cursor.filter(|cursor| !cursor.is_empty()), has_more) {
        (_, Some(false)) | (None, None) => Ok(None),
        (None, Some(true)) => what("absent though there are more pages"),
        (Some(cursor), _) if cursor.len() > CURSOR_BYTES => what("too long"),
        (Some(cursor), _) => Ok(Some(cursor)),
    }
}

fn optional<T>(
    field: &'static str,
    number: Option<&Number>,
    read: impl Fn(&'static str, &Number) -> Result<T, What>,
) -> Result<Option<T>, What> {
    number.map(|number| read(field, number)).transpose()
}

fn money(field: &'static str, number: &Number) -> Result<NanoUsd, What> {
    figure(field, number.as_str().parse())
}

fn decimal(field: &'static str, number: &Number) -> Result<Decimal, What> {
    figure(field, number.as_str().parse())
}

fn figure<T>(field: &'static str, read: Result<T, DecimalError>) -> Result<T, What> {
    read.map_err(|error| {
        let why = match error {
            DecimalError::Malformed => "not a decimal number",
            DecimalError::OutOfRange => "a number out of range",
        };
        What { field, why }
    })
}

fn moment(field: &'static str, text: &str) -> Result<Micros, What> {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(Micros(at.as_microsecond())),
        Err(_) => Err(What { field, why: "not a moment with its offset" }),
    }
}

fn text(field: &'static str, text: String) -> Result<String, What> {
    if text.is_empty() { Err(What { field, why: "empty" }) } else { Ok(text) }
}

fn dollars(currency: &str) -> Result<(), What> {
    if currency.eq_ignore_ascii_case("USD") {
        return Ok(());
    }
    Err(What { field: "currency", why: "not US dollars" })
}
