//! fal's rows as they are kept: events for the table of events, all else as JSON beside the fetch that brought it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Why;
use crate::audit;
use crate::fal::{self, BillingEvent, Page, Position};
use crate::keypool::AccountId;
use crate::ledger::{Micros, Text};
use crate::store::reconcile::EventRow;

/// Ids and names longer than this are none of fal's.
const MOST_ID_BYTES: usize = 255;
/// From this length on a body is read on a thread that may block.
const LONG_BODY: usize = 256 * 1024;

/// Where the next page is, as it is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    window_start: i64,
    cursor: Option<String>,
}

impl Place {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None` at the beginning, which is where what cannot be read leads as well: events are kept once.
    pub(super) fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { window_start: position.window_start.0, cursor: position.cursor }
    }
}

impl From<Place> for Position {
    fn from(place: Place) -> Self {
        Self { window_start: Micros(place.window_start), cursor: place.cursor }
    }
}

/// The rows of a page of events. One outside of the period asked for is kept like the others: what is judged is
/// chosen by fal's time of it.
pub(super) async fn events(
    page: &Page<Vec<BillingEvent>>,
    workspace: &Text,
    account_id: AccountId,
) -> Result<Vec<EventRow>, Why> {
    let raws = if page.raw.len() < LONG_BODY {
        raw_rows(&page.raw)
    } else {
        let raw = page.raw.clone();
        let read = tokio::task::spawn_blocking(move || raw_rows(&raw)).await;
        read.unwrap_or_else(|_| Err(Why::unusable("scrip is stopping")))
    }?;
    if raws.len() != page.rows.len() {
        return Err(Why::unusable("fal's answer cannot be read: billing_events: not what it was read as"));
    }
    let rows = page.rows.iter().zip(raws);
    rows.map(|(event, raw)| event_row(event, raw, workspace, account_id)).collect()
}

/// Each row as fal wrote it, its fields in order of their names: the same row is the same text.
fn raw_rows(body: &[u8]) -> Result<Vec<String>, Why> {
    let unreadable = || Why::unusable("fal's answer cannot be read: not JSON");
    let mut page: Value = serde_json::from_slice(body).map_err(|_| unreadable())?;
    match page.get_mut("billing_events").map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows.iter().map(Value::to_string).collect()),
        _ => Err(unreadable()),
    }
}

fn event_row(
    event: &BillingEvent,
    raw: String,
    workspace: &Text,
    account_id: AccountId,
) -> Result<EventRow, Why> {
    let ids = [("request_id", &event.request_id), ("endpoint_id", &event.endpoint_id)];
    for (field, id) in ids {
        if id.len() > MOST_ID_BYTES || id.chars().any(char::is_control) {
            return Err(Why::unusable(format!("fal's answer cannot be read: {field}: not an id")));
        }
    }
    Ok(EventRow {
        workspace: Text::clone(workspace),
        account_id,
        request_id: event.request_id.as_str().into(),
        endpoint_id: event.endpoint_id.as_str().into(),
        time: event.timestamp,
        cost_nano_usd: event.cost().map(|cost| cost.0),
        units_nano: event.output_units.and_then(nano),
        raw: raw.into(),
    })
}

/// In 10⁻⁹ units, as dollars are in nano-USD.
fn nano(units: fal::Decimal) -> Option<i64> {
    units.to_nano_usd().map(|nano| nano.0)
}

/// What is kept of a fetch of events besides them.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Events {
    /// How many of them had no cost.
    pub(super) unpriced: usize,
    /// The workspace they are kept under.
    #[serde(default)]
    pub(super) workspace: String,
}

impl Events {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn from_json(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Balance<'a> {
    username: &'a str,
    balance_nano_usd: Option<i64>,
}

#[derive(Deserialize)]
struct Billed {
    username: String,
}

#[derive(Deserialize)]
struct Heard {
    balance_nano_usd: Option<i64>,
}

pub(super) fn balance_json(account: &fal::Account) -> String {
    let balance = account.balance.map(|balance| balance.0);
    serde_json::to_string(&Balance { username: &account.username, balance_nano_usd: balance })
        .unwrap_or_default()
}

/// The name that fal bills, of what [`balance_json`] kept; `None` where fal told none.
pub(super) fn username_of(json: &str) -> Option<String> {
    let billed: Billed = serde_json::from_str(json).ok()?;
    (!billed.username.is_empty()).then_some(billed.username)
}

/// The credit in nano-USD, of what [`balance_json`] kept; `None` where fal told none.
pub(super) fn balance_of(json: &str) -> Option<i64> {
    let heard: Heard = serde_json::from_str(json).ok()?;
    heard.balance_nano_usd
}

#[derive(Serialize, Deserialize)]
struct UsageRow {
    endpoint_id: String,
    unit: String,
    units_nano: i64,
    cost_nano_usd: i64,
}

/// fal's totals, and of when.
#[derive(Serialize, Deserialize)]
struct Totals {
    start: i64,
    end: i64,
    rows: Vec<UsageRow>,
}

/// fal's totals as they are kept, with the window they were asked for. A total of which a part is not known is none.
pub(super) fn usage_json(rows: &[fal::UsageRow], (start, end): (Micros, Micros)) -> Result<String, Why> {
    let read = |row: &fal::UsageRow| {
        let cost = row.cost.ok_or_else(|| Why::unusable("fal gives no cost for a row of its usage"))?;
        let units =
            nano(row.quantity).ok_or_else(|| Why::unusable("fal's usage has a quantity out of range"))?;
        Ok(UsageRow {
            endpoint_id: row.endpoint_id.clone(),
            unit: row.unit.clone(),
            units_nano: units,
            cost_nano_usd: cost.0,
        })
    };
    let rows: Vec<UsageRow> = rows.iter().map(read).collect::<Result<_, Why>>()?;
    Ok(serde_json::to_string(&Totals { start: start.0, end: end.0, rows }).unwrap_or_default())
}

/// Reads what [`usage_json`] kept. Earlier versions kept the rows alone, which are of the run's period.
pub(super) fn usage_of(json: &str, start: audit::Micros, end: audit::Micros) -> Option<audit::Usage> {
    let Totals { start, end, rows } = match serde_json::from_str(json) {
        Ok(totals) => totals,
        Err(_) => Totals { start: start.0, end: end.0, rows: serde_json::from_str(json).ok()? },
    };
    let (start, end) = (audit::Micros(start), audit::Micros(end));
    let rows = rows.into_iter().map(|row| audit::UsageRow {
        endpoint_id: row.endpoint_id.into(),
        unit: row.unit.into(),
        units_nano: row.units_nano.into(),
        cost_nano_usd: row.cost_nano_usd,
    });
    Some(audit::Usage { start, end, rows: rows.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_row_is_the_same_text_however_its_fields_are_ordered_and_its_figures_keep_their_digits() {
        let one = raw_rows(br#"{"billing_events":[{"b":1.10,"a":"x"}]}"#).expect("rows");
        let other =
            raw_rows(br#"{"has_more":false,"billing_events":[ {"a":"x", "b":1.10} ]}"#).expect("rows");
        assert_eq!(one, other);
        assert_eq!(one, [r#"{"a":"x","b":1.10}"#]);
        assert!(raw_rows(b"{}").is_err() && raw_rows(b"[").is_err());
    }

    #[test]
    fn a_place_reads_back_and_an_unreadable_one_is_the_beginning() {
        let place = Place { window_start: 7, cursor: Some("Mg==".to_owned()) };
        assert_eq!(Place::from_json(&place.to_json()), Some(place));
        assert_eq!(Place::from_json(""), None);
    }

    #[test]
    fn usage_reads_back_and_a_row_without_a_cost_makes_no_total() {
        let decimal = |text: &str| text.parse::<fal::Decimal>().expect("a decimal");
        let row = fal::UsageRow {
            endpoint_id: "fal-ai/flux/dev".to_owned(),
            unit: "megapixels".to_owned(),
            quantity: decimal("8.44"),
            unit_price: decimal("0.025"),
            percent_discount: None,
            cost_subtotal: None,
            cost_discount: None,
            cost: Some(fal::NanoUsd(211_000_000)),
            auth: None,
        };
        let (start, end) = (audit::Micros(1), audit::Micros(2));
        let json = usage_json(std::slice::from_ref(&row), (Micros(3), Micros(4))).expect("a total");
        let usage = usage_of(&json, start, end).expect("read");
        assert_eq!((usage.total(), usage.rows[0].units_nano), (211_000_000, 8_440_000_000));
        assert_eq!((usage.start, usage.end), (audit::Micros(3), audit::Micros(4)), "what it was asked for");
        let earlier = usage_of("[]", start, end).expect("what an earlier version kept");
        assert_eq!((earlier.start, earlier.end, earlier.rows.len()), (start, end, 0));
        assert!(usage_json(&[fal::UsageRow { cost: None, ..row }], (Micros(3), Micros(4))).is_err());
        assert_eq!(usage_of("", start, end), None);
    }

    #[test]
    fn an_id_that_a_table_would_not_take_is_none() {
        let event = BillingEvent {
            request_id: "r\0".to_owned(),
            endpoint_id: "m".to_owned(),
            timestamp: Micros(0),
            output_units: None,
            unit_price: None,
            percent_discount: None,
            cost_subtotal: None,
            cost_discount: None,
            cost_total: None,
            cost_estimate: None,
            auth: None,
        };
        assert!(event_row(&event, String::new(), &"w".into(), 1).is_err());
        let event = BillingEvent { request_id: "r".to_owned(), ..event };
        let row = event_row(&event, String::new(), &"w".into(), 1).expect("a row");
        assert_eq!((row.cost_nano_usd, row.units_nano), (None, None), "unknown is not nothing");
    }
}
