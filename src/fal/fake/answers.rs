//! What the fake fal answers when nothing is spoilt: a request's parameters and the world, to a status and a body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fault::Route;
use super::usage;
use super::world::{Cursors, Event, Workspace, World, difference};
use crate::ledger::Micros;

const MOST_EVENTS: usize = 10_000;
const MOST_VALUES: usize = 50;
const DAY: i64 = 24 * 3600 * 1_000_000;

/// A status and its body.
pub(super) type Answer = (u16, Value);

/// A request's parameters, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Params(pub(super) Vec<(String, String)>);

impl Params {
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// All values, written apart or with commas.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(there, _)| there == name);
        values.flat_map(|(_, value)| value.split(',')).collect()
    }

    pub(super) fn expands(&self, what: &str) -> bool {
        self.all("expand").contains(&what)
    }

    fn moment(&self, name: &str) -> Result<i64, Answer> {
        let at = self.one(name).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        at.map(|at| at.as_microsecond()).ok_or_else(|| invalid("start and end must be date-times here"))
    }

    /// Start and end.
    pub(super) fn period(&self) -> Result<(i64, i64), Answer> {
        let (start, end) = (self.moment("start")?, self.moment("end")?);
        if start < end { Ok((start, end)) } else { Err(invalid("end must be after start")) }
    }

    pub(super) fn limit(&self) -> Result<Option<usize>, Answer> {
        let Some(text) = self.one("limit") else { return Ok(None) };
        match text.parse() {
            Ok(limit) if limit > 0 => Ok(Some(limit)),
            _ => Err(invalid("limit must be at least 1")),
        }
    }

    /// Which page: cursors are the page's number in base64, as fal's usage has them.
    fn page(&self) -> Result<usize, Answer> {
        let Some(cursor) = self.one("cursor") else { return Ok(0) };
        let decoded = STANDARD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let number = decoded.and_then(|text| text.parse::<usize>().ok());
        number.and_then(|number| number.checked_sub(1)).ok_or_else(|| invalid("no such cursor"))
    }

    fn check_filters(&self) -> Result<(), Answer> {
        let names = ["endpoint_id", "api_key_id", "login_username", "request_id"];
        let too_many = names.iter().any(|name| self.all(name).len() > MOST_VALUES);
        if too_many { Err(invalid("a filter takes 1 to 50 values")) } else { Ok(()) }
    }

    /// Whether the filters let this event through.
    pub(super) fn keep(&self, event: &Event) -> bool {
        let passes = |name: &str, value: &str| {
            let values = self.all(name);
            values.is_empty() || values.contains(&value)
        };
        passes("endpoint_id", &event.endpoint_id)
            && passes("api_key_id", event.key_id.as_deref().unwrap_or_default())
            && passes("request_id", &event.request_id)
            && self.all("login_username").is_empty()
    }
}

/// The answer to a request.
pub(super) fn answer(world: &World, route: Route, authorization: Option<&str>, params: &Params) -> Answer {
    let Some((workspace, key)) = authorization.and_then(|value| world.holder(value)) else {
        return error(401, "authorization_error", "Authentication required");
    };
    if route != Route::Pricing && !key.admin {
        return error(world.scope_status.unwrap_or(403), "authorization_error", "Access denied");
    }
    let answered = params.check_filters().and_then(|()| match route {
        Route::Usage => usage::answer(world, workspace, params),
        Route::Events => events(world, workspace, params),
        Route::Account => Ok(account(workspace, params)),
        Route::Pricing => pricing(world, params),
    });
    answered.map_or_else(|refused| refused, |body| (200, body))
}

fn events(world: &World, workspace: &Workspace, params: &Params) -> Result<Value, Answer> {
    let (start, end) = params.period()?;
    if end - start > 90 * DAY {
        return Err(invalid("a request may span 90 days"));
    }
    let limit = params.limit()?.unwrap_or(MOST_EVENTS);
    if limit > MOST_EVENTS {
        return Err(invalid("limit must be at most 10000"));
    }
    // The newest first, as fal has them.
    let newest = workspace.within(start, end).iter().rev();
    let rows = newest.filter(|event| event.late < world.listings && params.keep(event));
    let with_auth = params.expands("auth_method_structured");
    page(world, params, "billing_events", limit, rows, |event| event_row(event, with_auth))
}

fn event_row(event: &Event, with_auth: bool) -> Value {
    let charged = event.charged();
    let mut row = json!({
        "request_id": event.request_id,
        "endpoint_id": event.endpoint_id,
        "timestamp": written(event.at),
        "output_units": figure(&event.units),
        "unit_price": figure(&event.unit_price),
        "percent_discount": event.percent_discount.as_deref().map(figure),
        "cost_estimate_nano_usd": charged.to_nano_usd().map(|nano| nano.0),
    });
    if !event.old {
        row["cost_subtotal"] = figure(&event.subtotal().to_string());
        row["cost_discount"] = figure(&difference(event.subtotal(), charged).to_string());
        row["cost_total"] = figure(event.total.as_deref().unwrap_or(&charged.to_string()));
    }
    if with_auth {
        row["auth_method_structured"] = auth(event);
    }
    row
}

fn account(workspace: &Workspace, params: &Params) -> Value {
    let mut body = json!({ "username": workspace.username });
    if params.expands("credits") {
        body["credits"] = json!({ "current_balance": figure(&workspace.balance), "currency": "USD" });
    }
    body
}

fn pricing(world: &World, params: &Params) -> Result<Value, Answer> {
    let ids = params.all("endpoint_id");
    if ids.is_empty() {
        return Err(invalid("endpoint_id takes 1 to 50 values"));
    }
    let mut rows = Vec::new();
    for id in ids {
        let Some(price) = world.prices.iter().find(|price| price.endpoint_id == id) else {
            // One unknown model fails them all, as has been seen.
            return Err(error(404, "not_found", "Resource not found"));
        };
        rows.push(json!({
            "endpoint_id": price.endpoint_id,
            "unit_price": figure(&price.unit_price),
            "unit": price.unit,
            "currency": "USD",
        }));
    }
    page(world, params, "prices", MOST_VALUES, rows.into_iter(), |row| row)
}

/// One page of these rows, of which no others are written.
pub(super) fn page<T>(
    world: &World,
    params: &Params,
    name: &'static str,
    limit: usize,
    rows: impl Iterator<Item = T>,
    write: impl Fn(T) -> Value,
) -> Result<Value, Answer> {
    let number = params.page()?;
    let limit = world.page.map_or(limit, |most| most.min(limit));
    let mut rest = rows.skip(number.saturating_mul(limit));
    let written: Vec<_> = rest.by_ref().take(limit).map(write).collect();
    let next = match world.cursors {
        Cursors::Honest => rest.next().map(|_| number + 2),
        Cursors::Circle => Some(2),
        Cursors::Endless => Some(number + 2),
    };
    let cursor = next.map(|number| STANDARD.encode(number.to_string()));
    Ok(json!({ name: written, "next_cursor": cursor, "has_more": next.is_some() }))
}

/// Who made the call of an event.
pub(super) fn auth(event: &Event) -> Value {
    match &event.key_id {
        Some(id) => json!({ "detail": format!("Key {id}"), "api_key_id": id }),
        None => json!({ "detail": "User token" }),
    }
}

/// A moment with the offset `+00:00`, as fal writes buckets.
pub(super) fn written(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at.0)
        .map(|at| at.to_string().replace('Z', "+00:00"))
        .unwrap_or_default()
}

/// A JSON number in this spelling; what is no number is sent as null.
pub(super) fn figure(text: &str) -> Value {
    serde_json::from_str::<serde_json::Number>(text).map_or(Value::Null, Value::Number)
}

/// One of fal's documented errors.
pub(super) fn error(status: u16, kind: &str, message: &str) -> Answer {
    (status, json!({ "error": { "type": kind, "message": message } }))
}

pub(super) fn invalid(message: &str) -> Answer {
    error(400, "validation_error", message)
}
