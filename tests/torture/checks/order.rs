//! Real time: what was acknowledged before another call began comes before it in its user's chain, and no balance that
//! is read later is older. By one sweep over all beginnings and ends.

use std::collections::HashMap;

use super::Findings;
use super::delivery::{Asked, Delivery};
use crate::answer::Balance;
use crate::books::Books;
use crate::call::{Call, Purse};
use crate::history::Moment;

pub(crate) fn check(deliveries: &[Delivery<'_>], books: &Books, found: &mut Findings) {
    let floors = floors(deliveries);
    let chains = Chains::of(books);
    for (delivery, floor) in deliveries.iter().zip(floors) {
        let Some(told) = delivery.told() else { continue };
        if delivery.did()
            && delivery.is_write()
            && let Some(first) = told.entries.first()
            && first.seq <= floor
        {
            found.add("order", || format!("{floor} was acknowledged before it began: {delivery}"));
        }
        if matches!(delivery.asked, Asked::Call(Call::Entries { .. }))
            && told.entries.first().map_or(0, |newest| newest.seq) < floor
        {
            found.add("stale", || format!("{floor} was acknowledged before it was read: {delivery}"));
        }
        let Some(balance) = told.balance else { continue };
        if balance.seq < floor {
            found.add("stale", || format!("{floor} was acknowledged before it began: {delivery}"));
        }
        if let Some(wrong) = chains.differs(balance) {
            found.add("balance", || format!("{wrong}: {delivery}"));
        }
        let last = told.entries.last().filter(|_| delivery.did());
        if last.is_some_and(|last| last.seq != balance.seq) {
            found.add("balance", || format!("not the one right after it: {delivery}"));
        }
    }
}

/// For each delivery the highest seq of its user that had been acknowledged when it began.
fn floors(deliveries: &[Delivery<'_>]) -> Vec<i64> {
    // At one moment beginnings come first: what ends just then was not yet acknowledged.
    let mut moments: Vec<(Moment, bool, usize)> = Vec::with_capacity(2 * deliveries.len());
    for (at, delivery) in deliveries.iter().enumerate() {
        moments.push((delivery.begun, false, at));
        if delivery.told().is_some() {
            moments.push((delivery.ended, true, at));
        }
    }
    moments.sort_unstable();
    let mut newest: HashMap<i64, i64> = HashMap::new();
    let mut floors = vec![0; deliveries.len()];
    for (_, is_end, at) in moments {
        let delivery = &deliveries[at];
        if !is_end {
            let user = delivery.user.unwrap_or_default();
            floors[at] = newest.get(&user).copied().unwrap_or_default();
            continue;
        }
        let Some(told) = delivery.told() else { continue };
        let entries = told.entries.iter().map(|entry| (entry.user, entry.seq));
        let balance = told.balance.map(|balance| (balance.user, balance.seq));
        for (user, seq) in entries.chain(balance) {
            let known = newest.entry(user).or_default();
            *known = seq.max(*known);
        }
    }
    floors
}

/// What each user had after each entry.
struct Chains(HashMap<i64, Vec<(i64, i64)>>);

impl Chains {
    fn of(books: &Books) -> Self {
        let mut chains: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        for row in &books.ledger {
            let entry = &row.entry;
            let chain = chains.entry(entry.user).or_insert_with(|| vec![(0, 0)]);
            let mut had = chain.last().copied().unwrap_or_default();
            match entry.purse {
                Purse::Points => had.0 = entry.after,
                Purse::Cash => had.1 = entry.after,
            }
            chain.push(had);
        }
        Self(chains)
    }

    fn differs(&self, balance: Balance) -> Option<String> {
        let nothing = vec![(0, 0)];
        let chain = self.0.get(&balance.user).unwrap_or(&nothing);
        let had = usize::try_from(balance.seq).ok().and_then(|seq| chain.get(seq));
        if had != Some(&(balance.points, balance.cash)) {
            return Some(format!("at entry {} the purses had {had:?}", balance.seq));
        }
        let held = balance.points_held + balance.cash_held;
        let sums =
            balance.total == balance.points + balance.cash && balance.available == balance.total - held;
        let is_covered = (0..=balance.points).contains(&balance.points_held)
            && (0..=balance.cash).contains(&balance.cash_held);
        (!sums || !is_covered).then(|| "its figures do not add up".to_owned())
    }
}
