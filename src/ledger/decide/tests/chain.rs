//! The chain: the user's next number, the hash of the content and of the hash before, and a time that never goes back.

use sha2::{Digest, Sha256};

use super::Bench;
use super::commands::{USER, authorize, capture, charge, credit, debit, fail, of_user, refund_all};
use crate::ledger::hash::ChainFields;
use crate::ledger::{Entry, Hash, Micros, Purse};

/// Version 1 of the hash, written a second time from its description.
fn version_1(entry: &Entry, transaction_type: i64, previous: Hash) -> Hash {
    let mut bytes = vec![1_u8];
    let number = |bytes: &mut Vec<u8>, value: i64| bytes.extend(value.to_be_bytes());
    let word = |bytes: &mut Vec<u8>, value: &str| {
        bytes.extend((value.len() as u64).to_be_bytes());
        bytes.extend(value.as_bytes());
    };
    let request_id = |bytes: &mut Vec<u8>| {
        number(bytes, i64::from(entry.request_id.is_some()));
        word(bytes, entry.request_id.as_deref().unwrap_or_default());
    };
    number(&mut bytes, entry.user_id);
    number(&mut bytes, entry.user_seq);
    word(&mut bytes, entry.operation.as_str());
    word(&mut bytes, entry.source_type.as_str());
    number(&mut bytes, transaction_type);
    number(&mut bytes, i64::from(entry.purse == Purse::Cash));
    number(&mut bytes, entry.amount);
    number(&mut bytes, entry.balance_before);
    number(&mut bytes, entry.balance_after);
    word(&mut bytes, &entry.order_id);
    word(&mut bytes, &entry.title);
    word(&mut bytes, &entry.deployment_uuid);
    number(&mut bytes, i64::from(entry.pay_type));
    number(&mut bytes, entry.time.0);
    request_id(&mut bytes);
    word(&mut bytes, &entry.actor);
    number(&mut bytes, i64::from(entry.purse == Purse::Points));
    if entry.purse == Purse::Points {
        number(&mut bytes, entry.amount);
        word(&mut bytes, &entry.order_id);
        word(&mut bytes, &entry.title);
        word(&mut bytes, entry.source_type.as_str());
        number(&mut bytes, entry.balance_before);
        number(&mut bytes, entry.balance_after);
        number(&mut bytes, entry.time.0);
        request_id(&mut bytes);
        word(&mut bytes, &entry.actor);
    }
    bytes.extend(previous.0);
    Hash(Sha256::digest(&bytes).into())
}

#[test]
fn each_entry_carries_version_1_of_the_hash_over_its_content_and_the_hash_before() {
    let mut bench = Bench::with(400, 500);
    let charged = bench.run_as("r-1", charge("t", 600)).expect("charged").entries;
    let first = bench.world.entries()[&(USER, 1)].entry.clone();
    let second = bench.world.entries()[&(USER, 2)].entry.clone();
    assert_eq!(first.hash, version_1(&first, 0, Hash::ZERO));
    assert_eq!(second.hash, version_1(&second, 3, first.hash));
    assert_eq!(charged[0].hash, version_1(&charged[0], 1, second.hash));
    assert_eq!(charged[1].hash, version_1(&charged[1], 1, charged[0].hash));
    assert_eq!(bench.world.user(USER).chain_hash, charged[1].hash);
}

#[test]
fn the_hash_of_a_known_entry_is_the_one_of_every_release() {
    let mut bench = Bench::with(400, 0);
    let entry = &bench.ok(charge("t", 600 - 400)).entries[0];
    // Stored chains are verified by it: if this changes, every ledger in the world is reported as tampered with.
    assert_eq!(entry.hash.to_string(), "4e9e8d7142e9b8f17ed1006964261ea0e2c9541386e6a036249f6d4c971fc1b2");
}

#[test]
fn a_change_of_any_stored_field_changes_the_hash() {
    let mut bench = Bench::with(400, 0);
    let entry = bench.run_as("r-1", charge("t", 100)).expect("charged").entries.remove(0);
    let fields = ChainFields::of(&entry);
    let twin = fields.points.expect("a points row");
    let previous = bench.world.entries()[&(USER, 1)].entry.hash;
    assert_eq!(fields.chain(&previous), entry.hash);
    let with = |points| ChainFields { points: Some(points), ..fields };
    let changed = [
        ChainFields { user_id: 8, ..fields },
        ChainFields { user_seq: 3, ..fields },
        ChainFields { operation: "debit", ..fields },
        ChainFields { source_type: "system", ..fields },
        ChainFields { transaction_type: 0, ..fields },
        ChainFields { is_cash: true, ..fields },
        ChainFields { money: -101, ..fields },
        ChainFields { balance_before: 401, ..fields },
        ChainFields { balance_after: 301, ..fields },
        ChainFields { order_id: "u", ..fields },
        ChainFields { title: "x", ..fields },
        ChainFields { deployment_uuid: "", ..fields },
        ChainFields { pay_type: 3, ..fields },
        ChainFields { time: entry.time.plus(1), ..fields },
        ChainFields { request_id: None, ..fields },
        ChainFields { request_id: Some("r-2"), ..fields },
        ChainFields { actor: "someone", ..fields },
        ChainFields { points: None, ..fields },
        with(crate::ledger::hash::PointsFields { points: -99, ..twin }),
        with(crate::ledger::hash::PointsFields { order_id: "u", ..twin }),
        with(crate::ledger::hash::PointsFields { title: "x", ..twin }),
        with(crate::ledger::hash::PointsFields { source_type: "gift", ..twin }),
        with(crate::ledger::hash::PointsFields { balance_before: 1, ..twin }),
        with(crate::ledger::hash::PointsFields { balance_after: 1, ..twin }),
        with(crate::ledger::hash::PointsFields { created_at: Micros(0), ..twin }),
        with(crate::ledger::hash::PointsFields { request_id: None, ..twin }),
        with(crate::ledger::hash::PointsFields { actor: "someone", ..twin }),
    ];
    let mut hashes: Vec<Hash> = changed.iter().map(|fields| fields.chain(&previous)).collect();
    hashes.push(entry.hash);
    hashes.push(fields.chain(&Hash::ZERO));
    let distinct: std::collections::BTreeSet<Hash> = hashes.iter().copied().collect();
    assert_eq!(distinct.len(), hashes.len(), "each change is seen");
}

#[test]
fn text_that_moves_from_one_field_to_the_next_changes_the_hash() {
    let mut bench = Bench::with(400, 0);
    let entry = bench.ok(charge("t", 100)).entries.remove(0);
    let fields = ChainFields::of(&entry);
    let one = ChainFields { order_id: "ab", title: "c", ..fields };
    let other = ChainFields { order_id: "a", title: "bc", ..fields };
    assert_ne!(one.chain(&Hash::ZERO), other.chain(&Hash::ZERO));
}

#[test]
fn each_user_has_a_chain_of_its_own() {
    let mut bench = Bench::with(400, 0);
    bench.ok(of_user(8, credit(Purse::Points, 50)));
    bench.ok(charge("t", 100));
    bench.ok(of_user(8, charge("u", 50)));
    let seqs: Vec<(i64, i64)> = bench.world.entries().keys().copied().collect();
    assert_eq!(seqs, [(USER, 1), (USER, 2), (8, 1), (8, 2)]);
}

#[test]
fn an_entry_is_never_dated_before_the_users_previous_one() {
    let mut bench = Bench::with(400, 500);
    let latest = bench.now;
    bench.pass(-1_000_000);
    let early = bench.now;
    for command in [of_user(USER, charge("t", 600)), of_user(USER, refund_all("t")), of_user(USER, debit(1))]
    {
        let done = bench.ok(command);
        assert!(done.entries.iter().all(|entry| entry.time == latest), "held at {latest:?}");
    }
    assert_eq!(bench.world.user(USER).update_time, latest);
    bench.ok(authorize("h", 10));
    assert!(bench.ok(capture("h", 10)).entries.iter().all(|entry| entry.time == latest));
    bench.ok(of_user(8, credit(Purse::Points, 1)));
    assert_eq!(bench.world.user(8).last_entry_time, early, "another user's time is its own");
    bench.pass(2_000_000);
    let done = bench.ok(charge("u", 1));
    assert_eq!(done.entries[0].time, bench.now, "the clock leads again once it has passed");
    bench.ok(fail("u"));
}
