//! Property tests of the ledger: whatever a random history of commands does, the rules that never bend hold.
//!
//! Histories run over few users, tasks and request ids, with purses near zero, so that commands meet: most of them
//! compete for a balance, repeat one another, or name a task that stands elsewhere.

#![allow(unreachable_pub, dead_code, reason = "shared with the other tests")]

mod generate;
mod money;
mod rules;
mod tampering;

#[path = "../../../support/commands.rs"]
mod commands;
#[path = "../../../support/invariants.rs"]
mod invariants;
#[path = "../../../support/world.rs"]
mod world;

use ledger::decide::Outcome;
use ledger::{Decision, Footprint, Micros, Plan, Work};
use proptest::prelude::*;
use scrip_pure::ledger;
use world::World;

/// What came of one batch.
struct Step {
    outcomes: Vec<Vec<Outcome>>,
    plan: Plan,
}

/// Decides a batch and applies it; fails if an invariant does not hold of what came out, or of the step there.
fn step(world: &mut World, now: Micros, work: &[Work]) -> Result<Step, TestCaseError> {
    let snapshot = world.snapshot(&Footprint::of(work), now);
    let Decision { plan, outcomes } = ledger::decide(snapshot, work);
    let before = world.clone();
    if let Err(violation) = world.apply(&plan) {
        return Err(TestCaseError::fail(format!("the tables refuse the plan: {violation:?}")));
    }
    let mut wrong = invariants::of_world(world);
    wrong.extend(invariants::of_step(&before, world));
    prop_assert!(wrong.is_empty(), "{:#?}", wrong);
    prop_assert_eq!(outcomes.len(), work.len());
    for (work, outcomes) in work.iter().zip(&outcomes) {
        prop_assert_eq!(work.len(), outcomes.len());
    }
    Ok(Step { outcomes, plan })
}

/// Runs one submission as a batch of its own.
fn step_one(world: &mut World, now: Micros, work: &Work) -> Result<(Outcome, Plan), TestCaseError> {
    let mut step = step(world, now, std::slice::from_ref(work))?;
    Ok((step.outcomes.remove(0).remove(0), step.plan))
}
