//! Posting: moves a purse and writes the entry that says so, chained to the user's previous one.

use std::sync::Arc;

use super::super::hash::ChainFields;
use super::super::{
    Entry, EntryRange, Funding, Hash, Micros, Money, Operation, Purse, Rejection, SourceType, Text, User,
};
use super::Context;

/// What the entries of one operation have in common.
pub(super) struct Movement<'a> {
    pub(super) operation: Operation,
    pub(super) source_type: SourceType,
    pub(super) order_id: &'a Text,
    pub(super) title: &'a Text,
    pub(super) deployment_uuid: &'a Text,
    pub(super) pay_type: i32,
}

/// Takes `drawn` out of the user's purses. The caller has checked that it is available.
pub(super) fn take(
    user: &mut User,
    drawn: Money,
    movement: &Movement<'_>,
    context: &Context<'_>,
    now: Micros,
) -> Vec<Arc<Entry>> {
    [Purse::Points, Purse::Cash]
        .into_iter()
        .filter(|purse| drawn.get(*purse) > 0)
        .map(|purse| post(user, purse, drawn.get(purse).wrapping_neg(), movement, context, now))
        .collect()
}

/// Puts `given` into the user's purses, cash first, as a refund returns it.
pub(super) fn give(
    user: &mut User,
    given: Money,
    movement: &Movement<'_>,
    context: &Context<'_>,
    now: Micros,
) -> Vec<Arc<Entry>> {
    [Purse::Cash, Purse::Points]
        .into_iter()
        .filter(|purse| given.get(*purse) > 0)
        .map(|purse| post(user, purse, given.get(purse), movement, context, now))
        .collect()
}

/// Writes one entry. The amounts were checked against the purses before; that they fit is asserted here.
#[allow(
    clippy::expect_used,
    reason = "every caller has checked the purse it moves; a miss here is a bug, not a state"
)]
fn post(
    user: &mut User,
    purse: Purse,
    amount: i64,
    movement: &Movement<'_>,
    context: &Context<'_>,
    now: Micros,
) -> Arc<Entry> {
    let balance_before = user.balance.get(purse);
    let balance_after = balance_before.checked_add(amount).expect("the purse was checked to hold the sum");
    assert!(balance_after >= 0, "a purse never goes below zero");
    // A clock that stepped back does not reorder a user's history.
    let time = now.max(user.last_entry_time);
    let mut entry = Entry {
        user_id: user.user_id,
        user_seq: user.entry_seq.checked_add(1).expect("fewer than 2^63 entries"),
        purse,
        operation: movement.operation,
        source_type: movement.source_type,
        amount,
        balance_before,
        balance_after,
        order_id: Arc::clone(movement.order_id),
        title: Arc::clone(movement.title),
        deployment_uuid: Arc::clone(movement.deployment_uuid),
        pay_type: movement.pay_type,
        time,
        request_id: context.request_id().cloned(),
        actor: Arc::clone(context.actor()),
        hash: Hash::ZERO,
    };
    entry.hash = ChainFields::of(&entry).chain(&user.chain_hash);
    match purse {
        Purse::Points => user.balance.points = balance_after,
        Purse::Cash => user.balance.cash = balance_after,
    }
    user.entry_seq = entry.user_seq;
    user.chain_hash = entry.hash;
    user.last_entry_time = time;
    user.update_time = user.update_time.max(now);
    Arc::new(entry)
}

/// The range of the entries just written.
pub(super) fn range_of(entries: &[Arc<Entry>]) -> Option<EntryRange> {
    let first = entries.first()?;
    let count = i16::try_from(entries.len()).ok()?;
    Some(EntryRange { first_seq: first.user_seq, count })
}

/// Draws `amount` from what the user has available, or says why not.
pub(super) fn draw(user: &User, amount: i64, funding: Funding) -> Result<Money, Rejection> {
    user.available().draw(amount, funding).ok_or_else(|| {
        let (available, held) = user.usable(funding);
        Rejection::InsufficientBalance { required: amount, available: available.total(), held: held.total() }
    })
}

/// The caller's title, or the given words where it has none.
pub(super) fn title_or(title: &Text, otherwise: &Text) -> Text {
    if title.is_empty() { Arc::clone(otherwise) } else { Arc::clone(title) }
}
