//! The fake fal's usage: its billing events added up by bucket, model, unit, price and discount.

use std::collections::BTreeMap;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde_json::{Value, json};

use super::answers::{Answer, Params, auth, figure, invalid, page, written};
use super::world::{Event, Workspace, World, difference, number};
use crate::fal::Decimal;
use crate::ledger::Micros;

/// Buckets a page, where no limit is asked for.
const BUCKETS: usize = 100;
/// More than a request can sensibly span: a year of minutes is refused rather than built.
const MOST_BUCKETS: usize = 20_000;

pub(super) fn answer(world: &World, workspace: &Workspace, params: &Params) -> Result<Value, Answer> {
    if !matches!(params.one("timezone"), None | Some("UTC")) {
        return Err(invalid("this fake keeps UTC alone"));
    }
    let (series, summary) = (params.expands("time_series"), params.expands("summary"));
    if !series && !summary {
        return Err(invalid("expand must have time_series or summary"));
    }
    let frame = params.one("timeframe").unwrap_or("day");
    let (start, end) = period(params, frame)?;
    let counted = |from: i64, to: i64| {
        let billed = workspace.within(from, to).iter().filter(|event| event.late <= world.listings);
        billed.chain(workspace.unexplained_within(from, to)).filter(|event| params.keep(event))
    };
    let with_auth = params.expands("auth_method_structured");
    let mut body = if series {
        let limit = params.limit()?.unwrap_or(BUCKETS);
        let buckets = buckets(frame, start, end)?.into_iter();
        page(world, params, "time_series", limit, buckets, |(from, to)| {
            // The first and the last bucket may reach out of the period.
            let within = counted(from.max(start), to.min(end));
            json!({ "bucket": written(Micros(from)), "results": rows(within, with_auth) })
        })?
    } else {
        json!({ "next_cursor": null, "has_more": false })
    };
    if summary {
        body["summary"] = Value::Array(rows(counted(start, end), with_auth));
    }
    Ok(body)
}

/// Start and end, widened to whole buckets unless that is declined.
fn period(params: &Params, frame: &str) -> Result<(i64, i64), Answer> {
    let (start, end) = params.period()?;
    if params.one("bound_to_timeframe") == Some("false") {
        return Ok((start, end));
    }
    let first = floor(frame, start)?;
    let last = floor(frame, end)?;
    Ok((first, if last < end { after(frame, last)? } else { last }))
}

/// Each bucket's start and end.
fn buckets(frame: &str, start: i64, end: i64) -> Result<Vec<(i64, i64)>, Answer> {
    let mut found = Vec::new();
    let mut from = floor(frame, start)?;
    while from < end {
        if found.len() == MOST_BUCKETS {
            return Err(invalid("too many buckets"));
        }
        let to = after(frame, from)?;
        found.push((from, to));
        from = to;
    }
    Ok(found)
}

fn utc(at: i64) -> Result<Zoned, Answer> {
    let at = Timestamp::from_microsecond(at).map_err(|_| invalid("a moment out of range"))?;
    Ok(at.to_zoned(TimeZone::UTC))
}

/// The start of the bucket that a moment is in.
fn floor(frame: &str, at: i64) -> Result<i64, Answer> {
    const SECOND: i64 = 1_000_000;
    let day = |zoned: Zoned| zoned.start_of_day().map_err(|_| invalid("a day out of range"));
    Ok(match frame {
        "minute" => at - at.rem_euclid(60 * SECOND),
        "hour" => at - at.rem_euclid(3600 * SECOND),
        "day" => at - at.rem_euclid(24 * 3600 * SECOND),
        "week" => {
            let today = utc(at)?;
            let since_monday = i64::from(today.weekday().since(Weekday::Monday));
            let monday =
                today.checked_sub(since_monday.days()).map_err(|_| invalid("a week out of range"))?;
            day(monday)?.timestamp().as_microsecond()
        }
        "month" => {
            let first = utc(at)?.first_of_month().map_err(|_| invalid("a month out of range"))?;
            day(first)?.timestamp().as_microsecond()
        }
        _ => return Err(invalid("timeframe is minute, hour, day, week or month")),
    })
}

/// The start of the bucket after the one that starts here.
fn after(frame: &str, start: i64) -> Result<i64, Answer> {
    let span = match frame {
        "minute" => 1.minute(),
        "hour" => 1.hour(),
        "week" => 1.week(),
        "month" => 1.month(),
        _ => 1.day(),
    };
    let next = utc(start)?.checked_add(span).map_err(|_| invalid("a moment out of range"))?;
    Ok(next.timestamp().as_microsecond())
}

/// What rows have in common; different discounts are different rows.
type Group<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, bool, Option<&'a str>);

#[derive(Default)]
struct Sum {
    quantity: Option<Decimal>,
    subtotal: Option<Decimal>,
    total: Option<Decimal>,
}

fn plus(sum: Option<Decimal>, more: Decimal) -> Option<Decimal> {
    sum.unwrap_or(Decimal::ZERO).checked_add(more)
}

fn rows<'a>(events: impl Iterator<Item = &'a Event>, with_auth: bool) -> Vec<Value> {
    let mut sums: BTreeMap<Group<'a>, (Sum, &'a Event)> = BTreeMap::new();
    for event in events {
        let discount = event.percent_discount.as_deref();
        let by = with_auth.then_some(event.key_id.as_deref()).flatten();
        let group = (&*event.endpoint_id, &*event.unit, &*event.unit_price, discount, event.old, by);
        let (sum, _) = sums.entry(group).or_insert_with(|| (Sum::default(), event));
        sum.quantity = plus(sum.quantity, number(&event.units));
        sum.subtotal = plus(sum.subtotal, event.subtotal());
        sum.total = plus(sum.total, event.charged());
    }
    sums.into_values().map(|(sum, first)| row(&sum, first, with_auth)).collect()
}

fn row(sum: &Sum, first: &Event, with_auth: bool) -> Value {
    let decimal = |value: Option<Decimal>| value.unwrap_or(Decimal::ZERO);
    let (subtotal, total) = (decimal(sum.subtotal), decimal(sum.total));
    let shown = |value: Decimal| figure(&value.to_string());
    let mut row = json!({
        "endpoint_id": first.endpoint_id,
        "unit": first.unit,
        "quantity": shown(decimal(sum.quantity)),
        "unit_price": figure(&first.unit_price),
        "cost": shown(total),
        "currency": "USD",
    });
    if !first.old {
        row["percent_discount"] = first.percent_discount.as_deref().map_or(Value::Null, figure);
        row["cost_subtotal"] = shown(subtotal);
        row["cost_discount"] = shown(difference(subtotal, total));
        row["cost_total"] = shown(total);
    }
    if with_auth {
        row["auth_method_structured"] = auth(first);
    }
    row
}
