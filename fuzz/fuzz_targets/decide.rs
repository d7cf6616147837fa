//! A history of calls: each message is decoded, checked and decided as the services do, and the plan is applied to the
//! model. Whatever is sent, the rules that never bend hold after each batch.
//!
//! Input: records of a byte for the method and whether it joins the batch before it, a byte of length, and the message.

#![no_main]
#![allow(dead_code, unreachable_pub, reason = "shared with the tests")]

#[path = "../../tests/support/invariants.rs"]
mod invariants;
#[path = "../../tests/support/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;
use scrip::api::fuzzing::{METHODS, submission};
use scrip::ledger::{self, Footprint, Micros, Work};
use world::World;

/// More calls than this find nothing that fewer do not.
const CALLS: usize = 64;
const A_MINUTE: i64 = 60_000_000;

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::default();
    let (mut now, mut batch, mut rest) = (1_700_000_000_000_000, Vec::new(), bytes);
    for _ in 0..CALLS {
        let [head, length, more @ ..] = rest else { break };
        let (message, more) = more.split_at(usize::from(*length).min(more.len()));
        rest = more;
        if head / METHODS % 2 == 0 {
            decide(&mut world, now, &std::mem::take(&mut batch));
            // Holds expire after some of these.
            now += A_MINUTE * i64::from(head / METHODS);
        }
        batch.extend(submission(*head, message).map(Work::One));
    }
    decide(&mut world, now, &batch);
});

fn decide(world: &mut World, now: i64, batch: &[Work]) {
    let snapshot = world.snapshot(&Footprint::of(batch), Micros(now));
    let decision = ledger::decide(snapshot, batch);
    assert_eq!(decision.outcomes.len(), batch.len(), "each is answered");
    let before = world.clone();
    if let Err(violation) = world.apply(&decision.plan) {
        panic!("the tables refuse the plan: {violation:?}");
    }
    let mut wrong = invariants::of_world(world);
    wrong.extend(invariants::of_step(&before, world));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
