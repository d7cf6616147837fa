//! Tests of `decide`: each file holds one part of the domain's rules, and every batch any of them decides is applied
//! to a world whose invariants are re-derived.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, which is what it should do")]

mod batches;
mod chain;
mod edges;
mod holds;
mod idempotency;
mod keys;
mod purses;
mod rows;
mod settling;
mod states;
mod submissions;

#[allow(unreachable_pub, dead_code, reason = "shared with the integration tests")]
#[path = "../../../../tests/support/commands.rs"]
mod commands;
#[allow(unreachable_pub, reason = "shared with the integration tests")]
#[path = "../../../../tests/support/invariants.rs"]
mod invariants;
#[allow(unreachable_pub, dead_code, reason = "shared with the integration tests")]
#[path = "../../../../tests/support/world.rs"]
mod world;

use crate::ledger;
use crate::ledger::{Footprint, Method, Micros, Money, Plan, Purse, Rejection, Work};

use super::{Decision, Done, Outcome, decide};
use commands::{AsCommand, USER, credit, submission};
use world::World;

/// A world, its clock, and what the newest batch wrote.
#[derive(Clone)]
struct Bench {
    world: World,
    now: Micros,
    plan: Plan,
    ids: u32,
}

impl Bench {
    fn new() -> Self {
        Self { world: World::default(), now: Micros(1_760_000_000_000_000), plan: Plan::default(), ids: 0 }
    }

    /// A world in which [`USER`] has these purses.
    fn with(points: i64, cash: i64) -> Self {
        let mut bench = Self::new();
        for (purse, amount) in [(Purse::Points, points), (Purse::Cash, cash)] {
            if amount > 0 {
                bench.ok(credit(purse, amount));
            }
        }
        bench
    }

    fn pass(&mut self, micros: i64) {
        self.now = self.now.plus(micros);
    }

    /// Decides a batch, applies its plan, and holds the result to every invariant.
    #[track_caller]
    fn decide(&mut self, work: &[Work]) -> Vec<Vec<Outcome>> {
        let snapshot = self.world.snapshot(&Footprint::of(work), self.now);
        let decision = decide(snapshot.clone(), work);
        assert_eq!(decide(snapshot, work), decision, "the same snapshot and work give the same decision");
        let Decision { plan, outcomes } = decision;
        let before = self.world.clone();
        self.world.apply(&plan).expect("the tables take the plan");
        let mut wrong = invariants::of_world(&self.world);
        wrong.extend(invariants::of_step(&before, &self.world));
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.plan = plan;
        outcomes
    }

    #[track_caller]
    fn run_as(&mut self, request_id: &str, command: impl AsCommand) -> Outcome {
        let submission = submission(request_id, command)?;
        let mut outcomes = self.decide(&[Work::One(submission)]);
        assert_eq!((outcomes.len(), outcomes[0].len()), (1, 1), "one outcome for one command");
        outcomes.remove(0).remove(0)
    }

    /// Runs a command without a request id, or with a fresh one where it needs one.
    #[track_caller]
    fn run(&mut self, command: impl AsCommand) -> Outcome {
        let command = command.command();
        match submission("", command.clone()) {
            Err(Rejection::RequestIdRequired) => {
                self.ids += 1;
                let request_id = format!("fresh-{}", self.ids);
                self.run_as(&request_id, command)
            }
            _ => self.run_as("", command),
        }
    }

    /// Runs a command that must be done now.
    #[track_caller]
    fn ok(&mut self, command: impl AsCommand) -> Done {
        let done = self.run(command).expect("done");
        assert!(!done.replayed, "done now, not before");
        done
    }

    /// Runs a command that must be recognised as done before, and write nothing.
    #[track_caller]
    fn replay(&mut self, command: impl AsCommand) -> Done {
        let done = self.run(command).expect("replayed");
        assert!(done.replayed, "done before");
        assert!(self.plan.is_empty(), "a replay writes nothing: {:?}", self.plan);
        done
    }

    /// Runs a command without a request id that must be refused, and leave no trace.
    #[track_caller]
    fn refused(&mut self, command: impl AsCommand) -> Rejection {
        let before = self.world.clone();
        let rejection = self.run_as("", command).expect_err("refused");
        assert_eq!(self.world, before, "a refusal leaves no trace");
        rejection
    }

    fn balance(&self) -> Money {
        self.world.user(USER).balance
    }

    fn held(&self) -> Money {
        self.world.user(USER).held
    }
}

/// Whether a method is another room's: [`keys`] tests those that name a task, the pool and reconciliation the rest.
const fn is_of_another_room(method: Method) -> bool {
    matches!(
        method,
        Method::SelectKey
            | Method::CreateAccount
            | Method::UpdateAccount
            | Method::DeleteAccount
            | Method::NoteAttempt
            | Method::StartReconciliation
    )
}

const fn money(points: i64, cash: i64) -> Money {
    Money { points, cash }
}

/// The entries of a command as (purse, amount, before, after).
fn movements(done: &Done) -> Vec<(Purse, i64, i64, i64)> {
    done.entries
        .iter()
        .map(|entry| (entry.purse, entry.amount, entry.balance_before, entry.balance_after))
        .collect()
}
