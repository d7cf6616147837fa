//! Keys as they are stored: which are replaced, retired, kept for a while, and erased.

use super::*;
use crate::keypool::{AccountChanges, AccountKey, Command, KeyWrite, NewKey, Purpose, Reseal};
use crate::ledger::Rejection;
use world::sealed;

fn new_key(key_id: &str) -> NewKey {
    NewKey { key_id: text(key_id), sealed: sealed("kek-1", &format!("of {key_id}")) }
}

fn update(account_id: AccountId, changes: AccountChanges) -> Command {
    Command::Update { account_id, changes, reason: text("rotated") }
}

fn rotate(account_id: AccountId, key_id: &str) -> Command {
    update(account_id, AccountChanges { key: Some(new_key(key_id)), ..AccountChanges::default() })
}

fn bill_by(account_id: AccountId, key_id: Option<&str>) -> Command {
    let billing_key = Some(key_id.map(new_key));
    update(account_id, AccountChanges { billing_key, ..AccountChanges::default() })
}

impl Bench {
    fn key(&self, account_id: AccountId, purpose: Purpose, key_id: &str) -> &AccountKey {
        &self.world.keys[&(account_id, purpose, text(key_id))]
    }

    /// Whether a key is there to be opened, and when another took its place.
    fn stored(&self, account_id: AccountId, purpose: Purpose, key_id: &str) -> (bool, Option<Micros>) {
        let key = self.key(account_id, purpose, key_id);
        (key.sealed.is_some(), key.retire_time)
    }
}

#[test]
fn a_replaced_key_is_kept_for_the_leases_it_was_given_with_and_erased_with_the_last() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    let (one, other, elsewhere) = (bench.lease_on(1), bench.lease_on(1), bench.lease_on(2));
    let at = bench.now;
    bench.run(&rotate(1, "key-new"));
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (true, Some(at)));
    assert_eq!(bench.stored(1, Purpose::Lease, "key-new"), (true, None));
    bench.pass(S);
    let newer = bench.lease_on(1);
    assert_eq!(&*newer.key_id, "key-new");
    bench.report(&one, LeaseOutcome::Succeeded);
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (true, Some(at)));
    bench.report(&other, LeaseOutcome::Succeeded);
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (false, Some(at)));
    bench.report(&newer, LeaseOutcome::Succeeded);
    bench.report(&elsewhere, LeaseOutcome::Succeeded);
    assert_eq!(bench.stored(1, Purpose::Lease, "key-new"), (true, None));
    assert_eq!(bench.stored(2, Purpose::Lease, "key-2"), (true, None));
}

#[test]
fn a_replaced_key_that_no_lease_has_is_erased_at_once() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    let ended = bench.lease_on(1);
    bench.report(&ended, LeaseOutcome::Succeeded);
    bench.lease_on(2);
    bench.run(&rotate(1, "key-new"));
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (false, Some(bench.now)));
}

#[test]
fn a_lease_that_ends_erases_no_key_that_was_not_replaced() {
    let mut bench = Bench::with([account(1, 5)]);
    let lease = bench.lease();
    // Reconciliation learns that the account goes by another key; what is stored of the old one stays.
    bench.world.accounts.get_mut(&1).expect("added").key_id = text("key-new");
    bench.report(&lease, LeaseOutcome::Succeeded);
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (true, None));
}

#[test]
fn a_key_that_comes_back_into_use_is_stored_anew_and_keeps_the_time_since_when_it_was_had() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.run(&rotate(1, "key-new"));
    bench.pass(S);
    bench.run(&rotate(1, "key-1"));
    let key = bench.key(1, Purpose::Lease, "key-1");
    assert_eq!((&key.sealed, key.retire_time), (&Some(sealed("kek-1", "of key-1")), None));
    assert_eq!(key.create_time, world::ADDED);
    assert_eq!(bench.stored(1, Purpose::Lease, "key-new"), (false, Some(bench.now)));
}

#[test]
fn a_key_for_billing_is_erased_when_another_takes_its_place_or_none() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.lease();
    bench.run(&bill_by(1, Some("bill-1")));
    assert_eq!(bench.plan.audit.last().map(|line| &*line.reason), Some("stored a secret: rotated"));
    bench.pass(S);
    bench.run(&bill_by(1, Some("bill-2")));
    assert_eq!(bench.stored(1, Purpose::Billing, "bill-1"), (false, Some(bench.now)));
    assert_eq!(bench.stored(1, Purpose::Billing, "bill-2"), (true, None));
    assert_eq!(bench.world.accounts[&1].billing_key_id.as_deref(), Some("bill-2"));
    bench.pass(S);
    bench.run(&bill_by(1, None));
    assert_eq!(bench.stored(1, Purpose::Billing, "bill-2"), (false, Some(bench.now)));
    assert_eq!(bench.world.accounts[&1].billing_key_id, None);
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (true, None));
}

#[test]
fn a_key_for_billing_that_is_also_leased_is_erased_as_the_billing_key_alone() {
    let mut bench = Bench::with([account(1, 5)]);
    bench.run(&bill_by(1, Some("key-1")));
    bench.lease();
    bench.pass(S);
    bench.run(&bill_by(1, None));
    assert_eq!(bench.stored(1, Purpose::Billing, "key-1"), (false, Some(bench.now)));
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (true, None));
}

#[test]
fn the_secrets_of_a_deleted_account_go_at_once_and_no_other_accounts() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    bench.run(&bill_by(1, Some("bill-1")));
    bench.run(&rotate(1, "key-new"));
    let rotated = bench.now;
    bench.lease_on(1);
    bench.pass(S);
    bench.run(&Command::Delete { account_id: 1, reason: text("gone") });
    assert_eq!(bench.stored(1, Purpose::Lease, "key-1"), (false, Some(rotated)));
    assert_eq!(bench.stored(1, Purpose::Lease, "key-new"), (false, Some(bench.now)));
    assert_eq!(bench.stored(1, Purpose::Billing, "bill-1"), (false, Some(bench.now)));
    assert_eq!(bench.stored(2, Purpose::Lease, "key-2"), (true, None));
    let row = &bench.world.accounts[&1];
    assert_eq!((&row.billing_key_id, row.update_time), (&None, bench.now));
}

#[test]
fn a_key_that_another_account_has_or_had_is_refused() {
    let mut bench = Bench::with([account(1, 5), account(2, 5)]);
    bench.run(&rotate(1, "key-new"));
    for taken in ["key-1", "key-new"] {
        let command = rotate(2, taken);
        let refused = bench.command(&command, |desk| desk.command(&command, "ann"));
        assert_eq!(refused, Err(Rejection::AccountExists { key_id: text(taken) }));
    }
    assert_eq!(bench.run(&rotate(1, "key-1")), 1, "its own it may have back");
}

#[test]
fn of_two_secrets_sealed_anew_for_one_key_in_one_batch_the_first_is_written() {
    let mut bench = Bench::with([account(1, 5)]);
    let reseal = |kek_id| Reseal {
        account_id: 1,
        purpose: Purpose::Lease,
        key_id: text("key-1"),
        before: sealed("kek-1", "key-1"),
        after: sealed(kek_id, "key-1"),
    };
    bench.batch(&[], |pool| {
        pool.take_reseal(&reseal("kek-2"), "ann");
        pool.take_reseal(&reseal("kek-3"), "bob");
    });
    assert_eq!(bench.plan.keys, [KeyWrite::Reseal(reseal("kek-2"))]);
    assert_eq!(bench.noted("account"), ["kek_id: kek-1 > kek-2"]);
    assert_eq!(bench.key(1, Purpose::Lease, "key-1").sealed, Some(sealed("kek-2", "key-1")));
}

#[test]
fn a_sealed_secret_is_shown_by_what_sealed_it_and_not_by_its_bytes() {
    assert_eq!(format!("{:?}", sealed("kek-1", "secret")), "Sealed(by kek-1)");
}
