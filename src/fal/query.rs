//! What is asked of fal: periods, filters, and the parameters they become.
//!
//! Nothing is left to fal's defaults that decides what is counted: start, end, time zone, alignment and expansions are
//! always sent.

use super::error::Error;
use crate::ledger::Micros;

/// The longest period that one request for billing events may span: 90 days.
const EVENTS_SPAN: i64 = 90 * 24 * 3600 * 1_000_000;
/// How many values a filter may have.
const MOST_VALUES: usize = 50;

/// A period: from `start`, to just before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start: Micros,
    end: Micros,
}

impl Window {
    /// From `start` to just before `end`.
    ///
    /// # Errors
    /// When it is empty, or a calendar does not reach it.
    pub fn new(start: Micros, end: Micros) -> Result<Self, Error> {
        if start >= end {
            return Err(Error::InvalidQuery("a period's end must be after its start"));
        }
        if written(start).is_none() || written(end).is_none() {
            return Err(Error::InvalidQuery("a period must lie within the calendar"));
        }
        Ok(Self { start, end })
    }

    /// Its first moment.
    pub fn start(self) -> Micros {
        self.start
    }

    /// The first moment after it.
    pub fn end(self) -> Micros {
        self.end
    }

    /// Whether a moment is in it.
    pub fn contains(self, at: Micros) -> bool {
        self.start <= at && at < self.end
    }

    /// Cut into consecutive periods of at most `span` microseconds: no moment is in two, none in none.
    fn cut(self, span: i64) -> Vec<Window> {
        let mut pieces = Vec::new();
        let mut start = self.start;
        while start < self.end {
            let end = start.plus(span).min(self.end);
            pieces.push(Window { start, end });
            start = end;
        }
        pieces
    }

    fn pairs(self) -> Pairs {
        let text = |at| written(at).unwrap_or_default();
        vec![("start", text(self.start)), ("end", text(self.end))]
    }
}

/// RFC 3339, UTC.
fn written(at: Micros) -> Option<String> {
    jiff::Timestamp::from_microsecond(at.0).ok().map(|at| at.to_string())
}

/// Parameters of a request, in order.
pub(super) type Pairs = Vec<(&'static str, String)>;

/// Restricts what is counted; at most 50 values each, none means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Models.
    pub endpoint_ids: Vec<String>,
    /// Ids of the keys that the calls were made with: what tells accounts of one workspace apart.
    pub api_key_ids: Vec<String>,
    /// Members of the team that made the calls.
    pub login_usernames: Vec<String>,
}

impl Filter {
    fn check(&self) -> Result<(), Error> {
        [&self.endpoint_ids, &self.api_key_ids, &self.login_usernames]
            .into_iter()
            .try_for_each(|values| at_most_fifty(values))
    }

    fn add_to(&self, pairs: &mut Pairs) {
        add_all(pairs, "endpoint_id", &self.endpoint_ids);
        add_all(pairs, "api_key_id", &self.api_key_ids);
        add_all(pairs, "login_username", &self.login_usernames);
    }
}

fn at_most_fifty(values: &[String]) -> Result<(), Error> {
    // fal takes a comma for the end of a value; a filter on two values that were one would count too much.
    if values.iter().any(|value| value.is_empty() || value.contains(',')) {
        return Err(Error::InvalidQuery("a filter's value must not be empty nor hold a comma"));
    }
    if values.len() > MOST_VALUES {
        return Err(Error::InvalidQuery("a filter takes at most 50 values"));
    }
    Ok(())
}

fn add_all(pairs: &mut Pairs, name: &'static str, values: &[String]) {
    pairs.extend(values.iter().map(|value| (name, value.clone())));
}

/// How long a bucket of a time series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeframe {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

impl Timeframe {
    /// fal's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Timeframe::Minute => "minute",
            Timeframe::Hour => "hour",
            Timeframe::Day => "day",
            Timeframe::Week => "week",
            Timeframe::Month => "month",
        }
    }
}

/// A question for `GET /models/usage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// The period.
    pub window: Window,
    /// Rows by bucket; `None` leaves the time series out.
    pub series: Option<Timeframe>,
    /// Totals of the whole period. They may come with every page: they are not to be added up over pages.
    pub summary: bool,
    /// Where a day begins; an IANA name. The period itself is exact whatever this is.
    pub timezone: String,
    /// Widens the period to whole buckets.
    pub aligned: bool,
    /// Rows apart by the key or the person that made the calls.
    pub by_auth: bool,
    /// What is counted.
    pub filter: Filter,
    /// Buckets a page; `None` leaves it to fal.
    pub limit: Option<u32>,
}

impl UsageQuery {
    /// The totals of exactly this period: the control total of the billing events.
    pub fn totals(window: Window) -> Self {
        Self {
            window,
            series: None,
            summary: true,
            timezone: "UTC".to_owned(),
            aligned: false,
            by_auth: false,
            filter: Filter::default(),
            limit: None,
        }
    }

    /// Rows by bucket, in UTC.
    pub fn by(timeframe: Timeframe, window: Window) -> Self {
        Self { series: Some(timeframe), summary: false, ..Self::totals(window) }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.series.is_none() && !self.summary {
            return Err(Error::InvalidQuery("usage is asked for as a series, as a summary or as both"));
        }
        if self.limit == Some(0) {
            return Err(Error::InvalidQuery("a page must have room for a bucket"));
        }
        self.filter.check()
    }

    pub(super) fn windows(&self) -> Vec<Window> {
        vec![self.window]
    }

    pub(super) fn pairs(&self, window: Window) -> Pairs {
        let mut pairs = window.pairs();
        let mut add = |name, value: &str| pairs.push((name, value.to_owned()));
        add("timezone", &self.timezone);
        add("bound_to_timeframe", if self.aligned { "true" } else { "false" });
        if let Some(timeframe) = self.series {
            add("timeframe", timeframe.as_str());
            add("expand", "time_series");
        }
        if self.summary {
            add("expand", "summary");
        }
        if self.by_auth {
            add("expand", "auth_method_structured");
        }
        if let Some(limit) = self.limit {
            add("limit", &limit.to_string());
        }
        self.filter.add_to(&mut pairs);
        pairs
    }
}

/// A question for `GET /models/billing-events`: the charge of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsQuery {
    /// The period; over 90 days it is asked for in pieces, one after the other.
    pub window: Window,
    /// These requests alone; at most 50, none means all.
    pub request_ids: Vec<String>,
    /// Events with the key or the person that made the call.
    pub by_auth: bool,
    /// What is counted.
    pub filter: Filter,
    /// Events a page, at most 10,000.
    pub limit: u32,
}

impl EventsQuery {
    /// All events of a period, in pages as long as fal makes them.
    pub fn all(window: Window) -> Self {
        Self { window, request_ids: Vec::new(), by_auth: false, filter: Filter::default(), limit: 10_000 }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if !(1..=10_000).contains(&self.limit) {
            return Err(Error::InvalidQuery("a page has 1 to 10,000 billing events"));
        }
        at_most_fifty(&self.request_ids)?;
        self.filter.check()
    }

    pub(super) fn windows(&self) -> Vec<Window> {
        self.window.cut(EVENTS_SPAN)
    }

    pub(super) fn pairs(&self, window: Window) -> Pairs {
        let mut pairs = window.pairs();
        pairs.push(("limit", self.limit.to_string()));
        if self.by_auth {
            pairs.push(("expand", "auth_method_structured".to_owned()));
        }
        add_all(&mut pairs, "request_id", &self.request_ids);
        self.filter.add_to(&mut pairs);
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1_000_000;

    fn days(start: i64, end: i64) -> Window {
        Window::new(Micros(start * DAY), Micros(end * DAY)).unwrap()
    }

    #[test]
    fn ninety_days_are_one_request_and_a_microsecond_more_is_two() {
        assert_eq!(days(0, 90).cut(EVENTS_SPAN), [days(0, 90)]);
        let longer = Window::new(Micros(0), Micros(90 * DAY + 1)).unwrap();
        let pieces = longer.cut(EVENTS_SPAN);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0], days(0, 90));
        assert_eq!((pieces[1].start(), pieces[1].end()), (Micros(90 * DAY), longer.end()));
    }

    #[test]
    fn the_pieces_of_a_period_meet_without_gap_or_overlap() {
        let year = days(19_000, 19_366);
        let pieces = year.cut(EVENTS_SPAN);
        assert_eq!(pieces.len(), 5);
        assert_eq!((pieces[0].start(), pieces[4].end()), (year.start(), year.end()));
        assert!(pieces.windows(2).all(|pair| pair[0].end() == pair[1].start()));
        assert!(!pieces[0].contains(pieces[0].end()) && pieces[1].contains(pieces[0].end()));
    }

    #[test]
    fn a_period_that_is_empty_or_beyond_the_calendar_is_refused() {
        for (start, end) in [(1, 1), (2, 1), (0, i64::MAX), (i64::MIN, 0)] {
            assert!(matches!(Window::new(Micros(start), Micros(end)), Err(Error::InvalidQuery(_))));
        }
    }

    #[test]
    fn filters_that_fal_would_misread_are_refused() {
        let filtered = |ids: Vec<String>| {
            let filter = Filter { endpoint_ids: ids, ..Filter::default() };
            UsageQuery { filter, ..UsageQuery::totals(days(0, 1)) }.check()
        };
        assert_eq!(filtered(vec!["a".to_owned(); 50]), Ok(()));
        assert!(filtered(vec!["a".to_owned(); 51]).is_err());
        assert!(filtered(vec!["a,b".to_owned()]).is_err());
        assert!(filtered(vec![String::new()]).is_err());
        for limit in [0, 10_001] {
            assert!(EventsQuery { limit, ..EventsQuery::all(days(0, 1)) }.check().is_err());
        }
        assert!(UsageQuery { summary: false, ..UsageQuery::totals(days(0, 1)) }.check().is_err());
    }
}
