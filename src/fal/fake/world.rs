//! What the fake fal knows: set by the caller, read by the answers.

use std::collections::VecDeque;

use super::answers::Params;
use super::fault::{Fault, Planned, Route};
use crate::fal::Decimal;
use crate::ledger::Micros;

/// How the pages of a listing lead on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cursors {
    /// To the end.
    #[default]
    Honest,
    /// In a circle: always back to the second page.
    Circle,
    /// To ever more empty pages.
    Endless,
}

/// All that the fake fal knows.
#[derive(Debug, Default)]
pub struct World {
    pub(super) workspaces: Vec<Workspace>,
    pub(super) prices: Vec<Price>,
    /// How pages lead on.
    pub cursors: Cursors,
    /// The most rows or buckets of a page, whatever is asked for; `None` is as documented.
    pub page: Option<usize>,
    /// What a key without the admin scope gets from billing; `None` is 403. 401 has been reported too.
    pub scope_status: Option<u16>,
    pub(super) planned: VecDeque<Planned>,
    /// How many listings of billing events have begun: what lets late events appear.
    pub(super) listings: u32,
}

impl World {
    /// Adds a workspace, or replaces the one of the same name.
    pub fn add(&mut self, workspace: Workspace) {
        self.workspaces.retain(|there| there.username != workspace.username);
        self.workspaces.push(workspace);
    }

    /// A workspace, to be changed.
    pub fn workspace(&mut self, username: &str) -> Option<&mut Workspace> {
        self.workspaces.iter_mut().find(|workspace| workspace.username == username)
    }

    /// Advertises a price.
    pub fn price(&mut self, endpoint_id: &str, unit_price: &str, unit: &str) {
        self.prices.push(Price {
            endpoint_id: endpoint_id.to_owned(),
            unit_price: unit_price.to_owned(),
            unit: unit.to_owned(),
        });
    }

    /// Spoils the next `times` answers of a route; faults of one route take their turns in the order of the plans.
    pub fn plan(&mut self, route: Route, times: u32, fault: Fault) {
        self.planned.push_back(Planned { route, times, fault });
    }

    /// The fault of this request, if one is planned.
    pub(super) fn fault(&mut self, route: Route) -> Option<Fault> {
        let at = self.planned.iter().position(|planned| planned.route == route)?;
        let planned = &mut self.planned[at];
        planned.times = planned.times.saturating_sub(1);
        let fault = planned.fault.clone();
        if planned.times == 0 {
            self.planned.remove(at);
        }
        Some(fault)
    }

    /// Notes that an unspoilt listing begins.
    pub(super) fn begin(&mut self, route: Route, params: &Params) {
        if route == Route::Events && params.one("cursor").is_none() {
            self.listings += 1;
        }
    }

    /// Whose key this `Authorization` is.
    pub(super) fn holder(&self, authorization: &str) -> Option<(&Workspace, &Key)> {
        let secret = authorization.strip_prefix("Key ")?;
        self.workspaces.iter().find_map(|workspace| {
            let key = workspace.keys.iter().find(|key| key.secret == secret)?;
            Some((workspace, key))
        })
    }
}

/// A workspace: what fal bills, limits and locks as one.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub(super) username: String,
    pub(super) balance: String,
    pub(super) keys: Vec<Key>,
    pub(super) events: Vec<Event>,
    pub(super) unexplained: Vec<Event>,
}

impl Workspace {
    /// A workspace of this billing name with this balance in dollars, written as it is to be sent.
    pub fn new(username: &str, balance: &str) -> Self {
        Self {
            username: username.to_owned(),
            balance: balance.to_owned(),
            keys: Vec::new(),
            events: Vec::new(),
            unexplained: Vec::new(),
        }
    }

    /// With an admin key, `key_id:key_secret`.
    #[must_use]
    pub fn key(mut self, secret: &str) -> Self {
        self.keys.push(Key { secret: secret.to_owned(), admin: true });
        self
    }

    /// With a key that may run models and not see the bill.
    #[must_use]
    pub fn plain_key(mut self, secret: &str) -> Self {
        self.keys.push(Key { secret: secret.to_owned(), admin: false });
        self
    }

    /// With a billed request.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.bill(event);
        self
    }

    /// With usage that no billing event explains: then the two totals differ.
    #[must_use]
    pub fn unexplained(mut self, usage: Event) -> Self {
        insert(&mut self.unexplained, usage);
        self
    }

    /// Bills another request.
    pub fn bill(&mut self, event: Event) {
        insert(&mut self.events, event);
    }

    /// Corrects the price of every event of a request: what was billed before is gone.
    pub fn correct(&mut self, request_id: &str, unit_price: &str) {
        for event in self.events.iter_mut().filter(|event| event.request_id == request_id) {
            unit_price.clone_into(&mut event.unit_price);
        }
    }

    /// The events from `start` to just before `end`, the oldest first.
    pub(super) fn within(&self, start: i64, end: i64) -> &[Event] {
        within(&self.events, start, end)
    }

    /// The same of the usage that no event explains.
    pub(super) fn unexplained_within(&self, start: i64, end: i64) -> &[Event] {
        within(&self.unexplained, start, end)
    }

    /// Changes the balance.
    pub fn set_balance(&mut self, balance: &str) {
        balance.clone_into(&mut self.balance);
    }
}

/// Kept in order of time, so that a page of a million events costs a page and no more.
fn insert(events: &mut Vec<Event>, event: Event) {
    let at = events.partition_point(|there| there.at <= event.at);
    events.insert(at, event);
}

fn within(events: &[Event], start: i64, end: i64) -> &[Event] {
    let first = |moment| events.partition_point(|event| event.at.0 < moment);
    &events[first(start)..first(end)]
}

/// A key of a workspace.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) secret: String,
    pub(super) admin: bool,
}

/// An advertised price; the figure as it is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Price {
    pub(super) endpoint_id: String,
    pub(super) unit_price: String,
    pub(super) unit: String,
}

/// A billed request. Figures are JSON numbers in the spelling that is to be sent.
#[derive(Clone, Debug)]
pub struct Event {
    pub(super) request_id: String,
    pub(super) endpoint_id: String,
    pub(super) at: Micros,
    pub(super) key_id: Option<String>,
    pub(super) unit: String,
    pub(super) units: String,
    pub(super) unit_price: String,
    pub(super) percent_discount: Option<String>,
    pub(super) total: Option<String>,
    pub(super) old: bool,
    pub(super) late: u32,
}

impl Event {
    /// One image for one cent at this moment, in microseconds since the epoch.
    pub fn new(request_id: &str, endpoint_id: &str, at_micros: i64) -> Self {
        Self {
            request_id: request_id.to_owned(),
            endpoint_id: endpoint_id.to_owned(),
            at: Micros(at_micros),
            key_id: None,
            unit: "images".to_owned(),
            units: "1".to_owned(),
            unit_price: "0.01".to_owned(),
            percent_discount: None,
            total: None,
            old: false,
            late: 0,
        }
    }

    /// So many of these units.
    #[must_use]
    pub fn units(mut self, units: &str, unit: &str) -> Self {
        (self.units, self.unit) = (units.to_owned(), unit.to_owned());
        self
    }

    /// At this price a unit.
    #[must_use]
    pub fn price(mut self, unit_price: &str) -> Self {
        unit_price.clone_into(&mut self.unit_price);
        self
    }

    /// With this discount in percent.
    #[must_use]
    pub fn discount(mut self, percent: &str) -> Self {
        self.percent_discount = Some(percent.to_owned());
        self
    }

    /// With a `cost_total` that is not units × price less the discount, or is spelled in another way.
    #[must_use]
    pub fn total(mut self, total: &str) -> Self {
        self.total = Some(total.to_owned());
        self
    }

    /// Made with the key of this id.
    #[must_use]
    pub fn by_key(mut self, key_id: &str) -> Self {
        self.key_id = Some(key_id.to_owned());
        self
    }

    /// In the shape that rows had before 2026-07-21, without the discount's fields.
    #[must_use]
    pub fn old(mut self) -> Self {
        self.old = true;
        self
    }

    /// Not among the first `listings` listings of billing events, nor in the usage before: fal bills late.
    #[must_use]
    pub fn late(mut self, listings: u32) -> Self {
        self.late = listings;
        self
    }

    /// Before the discount.
    pub(super) fn subtotal(&self) -> Decimal {
        product(&self.units, &self.unit_price)
    }

    /// After it.
    pub(super) fn charged(&self) -> Decimal {
        if let Some(total) = &self.total {
            return number(total);
        }
        let Some(percent) = &self.percent_discount else { return self.subtotal() };
        let left = difference(number("100"), number(percent));
        let share = left.checked_mul(number("0.01")).unwrap_or(Decimal::ZERO);
        self.subtotal().checked_mul(share).unwrap_or(Decimal::ZERO)
    }
}

/// A figure of the world; one that is no number counts as nothing, and is sent as it is.
pub(super) fn number(text: &str) -> Decimal {
    text.parse().unwrap_or(Decimal::ZERO)
}

fn product(a: &str, b: &str) -> Decimal {
    number(a).checked_mul(number(b)).unwrap_or(Decimal::ZERO)
}

pub(super) fn difference(a: Decimal, b: Decimal) -> Decimal {
    a.checked_add(b.negated()).unwrap_or(Decimal::ZERO)
}
