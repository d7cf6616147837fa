//! One effect a request_id: whoever used it first settles what everybody is answered.

use std::collections::HashMap;

use super::Findings;
use super::delivery::Delivery;
use crate::answer::Outcome;
use crate::books::{Books, Request};

pub(crate) fn check(deliveries: &[Delivery<'_>], books: &Books, is_resolved: bool, found: &mut Findings) {
    let mut under: HashMap<(i64, &str), Vec<&Delivery<'_>>> = HashMap::new();
    for delivery in deliveries {
        if let Some(user) = delivery.user.filter(|_| !delivery.request().is_empty()) {
            under.entry((user, delivery.request())).or_default().push(delivery);
        }
    }
    let mut stored: HashMap<(i64, &str), &Request> = HashMap::new();
    for record in &books.requests {
        if stored.insert((record.user, &record.request), record).is_some() {
            found.add("key", || format!("two records of {record:?}"));
        }
    }
    for (key, group) in &under {
        repeats(group, found);
        record(*key, group, stored.remove(key), is_resolved, found);
    }
    for ((user, request), record) in stored {
        // Accounts and runs belong to nobody.
        if user != 0 {
            found.add("unexplained", || format!("nobody has sent {request} of user {user}: {record:?}"));
        }
    }
}

/// Whether it settles what its request_id stands for.
fn settles(delivery: &Delivery<'_>) -> bool {
    delivery.told().is_some() || delivery.frozen().is_some()
}

fn repeats(group: &[&Delivery<'_>], found: &mut Findings) {
    let did: Vec<_> = group.iter().filter(|delivery| delivery.did()).collect();
    if did.len() > 1 {
        found.add("once", || format!("done twice under one request_id: {} and {}", did[0], did[1]));
    }
    // Where it was only ever repeated, somebody did it and never heard.
    let repeated = group.iter().filter(|delivery| delivery.told().is_some_and(|told| told.replayed));
    for repeat in repeated {
        let by_task = repeat.task().is_some();
        let before = |delivery: &&&Delivery<'_>| {
            delivery.begun < repeat.ended
                && delivery.op != repeat.op
                && (delivery.did() || delivery.is_unknown())
        };
        if !by_task && !group.iter().any(|delivery| before(&delivery)) {
            found.add("replay", || format!("a repeat of what nobody did: {repeat}"));
        }
    }
    let Some(first) = group.iter().filter(|delivery| settles(delivery)).min_by_key(|first| first.ended)
    else {
        return;
    };
    for other in group.iter().filter(|other| other.op != first.op) {
        let is_same = other.content() == first.content();
        let agrees = match other.outcome {
            None | Some(Outcome::Info { .. } | Outcome::Each(_)) => true,
            Some(Outcome::Ok(told)) => {
                is_same && first.told().is_some_and(|original| original.entries == told.entries)
            }
            Some(Outcome::Fail(refused)) => {
                let reason = refused.reason.as_str();
                other.begun < first.ended
                    || reason == "BATCH_ABORTED"
                    || if is_same {
                        first.frozen().is_some_and(|original| original == refused)
                    } else {
                        matches!(reason, "REQUEST_ID_REUSED" | "INVALID_FIELD" | "REQUEST_ID_REQUIRED")
                    }
            }
        };
        if !agrees {
            found.add("replay", || format!("not what the first was answered: {other}; the first: {first}"));
        }
    }
}

/// The stored record is what its callers were told.
fn record(
    (user, request): (i64, &str),
    group: &[&Delivery<'_>],
    stored: Option<&Request>,
    is_resolved: bool,
    found: &mut Findings,
) {
    let is_done = stored.is_some_and(|record| record.refusal.is_empty());
    let told = group.iter().find_map(|delivery| Some((delivery, delivery.told()?)));
    if let Some((delivery, told)) = told {
        let (first, count) =
            told.entries.first().map_or((0, 0), |entry| (entry.seq, told.entries.len() as i64));
        if !is_done || stored.is_some_and(|record| (record.first, record.count) != (first, count)) {
            found.add("record", || format!("the record is {stored:?}: {delivery}"));
        }
        return;
    }
    let is_open = !is_resolved && group.iter().any(|delivery| delivery.is_unknown());
    if is_done && !is_open {
        found.add("refused", || {
            let last = group.last().map(ToString::to_string);
            format!("done under {request} of user {user}, and nobody was told: {stored:?}, last {last:?}")
        });
    }
    if let Some(frozen) = group.iter().find(|delivery| delivery.frozen().is_some())
        && stored.is_none_or(|record| record.refusal.is_empty())
    {
        found.add("record", || format!("the refusal is not kept, the record is {stored:?}: {frozen}"));
    }
}
