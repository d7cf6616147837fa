//! What both stores agree on: how large a commit is, what tells two events apart, where a finding stands in the list.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{EventRow, FindingQuery};
use crate::audit;

/// How many rows one commit writes at most: charges wait for no more than that.
pub(in crate::store) const CHUNK: usize = 2_000;

/// An event as it is stored: with what tells it from all others.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Sighting<'a> {
    pub(in crate::store) event: &'a EventRow,
    /// Which of those that say the same, from 0.
    pub(in crate::store) ordinal: i64,
}

/// The events of a page in their order. `before` answers how many that say the same, in the same microsecond, earlier
/// pages of the fetch had: the same pages give the same ordinals, however often each is stored.
pub(in crate::store) fn sightings<'a>(
    events: &'a [EventRow],
    mut before: impl FnMut(usize) -> i64,
) -> Vec<Sighting<'a>> {
    let mut next: BTreeMap<_, i64> = BTreeMap::new();
    let place = |event: &'a EventRow| (&*event.workspace, event.time, &*event.request_id, says(event));
    let ordinal = |(at, event): (usize, &'a EventRow)| {
        let next = next.entry(place(event)).or_insert_with(|| before(at));
        let ordinal = *next;
        *next = next.saturating_add(1);
        Sighting { event, ordinal }
    };
    events.iter().enumerate().map(ordinal).collect()
}

type Says<'a> = (&'a str, Option<i64>, Option<i64>);

fn says(event: &EventRow) -> Says<'_> {
    (&event.endpoint_id, event.cost_nano_usd, event.units_nano)
}

impl Sighting<'_> {
    /// The first bytes of the SHA-256 of what an event says and which of its equals it is: with its workspace, moment and
    /// request, what it is. Not of the row as fal wrote it, which gains fields over time: the same bill would be counted
    /// twice.
    pub(in crate::store) fn digest(&self) -> [u8; 16] {
        let (endpoint_id, cost, units) = says(self.event);
        let mut what = format!("{endpoint_id}\n{cost:?}\n{units:?}");
        if self.ordinal > 0 {
            // Writing to a String cannot fail.
            let _ = write!(what, "\n{}", self.ordinal);
        }
        let digest = Sha256::digest(what.as_bytes());
        std::array::from_fn(|at| digest[at])
    }
}

/// The severity's place in the order of findings.
pub(in crate::store) const fn rank(severity: audit::Severity) -> i16 {
    match severity {
        audit::Severity::High => 1,
        audit::Severity::Medium => 2,
        audit::Severity::Low => 3,
    }
}

/// A part of the order of findings: those of one rank after a place and no further than a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Stretch<'a> {
    pub(in crate::store) rank: i16,
    pub(in crate::store) after: (&'a str, i64),
    pub(in crate::store) last_rule: &'a str,
}

impl FindingQuery {
    /// The parts of the order in which a page may find its rows; a severity or rule that is none has none.
    pub(in crate::store) fn stretches<'a>(&'a self, after: Option<(i16, &'a str, i64)>) -> Vec<Stretch<'a>> {
        /// Behind every rule.
        const LAST: &str = "~";
        let severity = match self.severity.as_deref().map(audit::Severity::parse) {
            Some(None) => return Vec::new(),
            Some(Some(severity)) => Some(rank(severity)),
            None => None,
        };
        let (from, rule, number) = after.unwrap_or((0, "", i64::MIN));
        let ranks = (1..=3).filter(|rank| *rank >= from && severity.is_none_or(|only| only == *rank));
        let wanted = self.rule.as_deref();
        ranks
            .map(|rank| {
                let start = if rank == from { (rule, number) } else { ("", i64::MIN) };
                let first = wanted.map_or(("", i64::MIN), |rule| (rule, i64::MIN));
                Stretch { rank, after: start.max(first), last_rule: wanted.unwrap_or(LAST) }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(rule: Option<&str>, severity: Option<&str>) -> FindingQuery {
        FindingQuery { run_id: 1, rule: rule.map(Into::into), severity: severity.map(Into::into) }
    }

    #[test]
    fn a_list_begins_behind_its_place_and_reads_the_later_ranks_from_their_start() {
        let all = query(None, None);
        let parts: Vec<_> =
            all.stretches(Some((2, "A5", 7))).into_iter().map(|part| (part.rank, part.after)).collect();
        assert_eq!(parts, [(2, ("A5", 7)), (3, ("", i64::MIN))]);
        assert_eq!(all.stretches(None).len(), 3);
        assert_eq!(all.stretches(Some((9, "", 0))), []);
    }

    #[test]
    fn a_rule_bounds_each_rank_and_a_severity_leaves_one() {
        let of_rule = query(Some("B1"), Some("MEDIUM"));
        let [part] = of_rule.stretches(None)[..] else { panic!("one rank") };
        assert_eq!((part.rank, part.after, part.last_rule), (2, ("B1", i64::MIN), "B1"));
        let [later] = of_rule.stretches(Some((2, "B1", 4)))[..] else { panic!("one rank") };
        assert_eq!(later.after, ("B1", 4));
        assert_eq!(query(None, Some("DIRE")).stretches(None), []);
    }
}
