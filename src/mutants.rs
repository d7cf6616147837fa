//! Planted bugs, which the simulation and the torture must catch: that is how the checkers are themselves checked.
//!
//! They exist in a build with the feature `mutants` alone, which nothing turns on by default and a release build refuses.
//! In every other build [`on`] is a constant `false`, which the compiler removes with what it guards. In a build that
//! has them, one is chosen by name in the environment, `SCRIP_MUTANT`, which is read once; without a name all are off.
//!
//! Bugs in what is read and answered are planted in the engine, on any store. Those in how a database is spoken to are
//! in the stores; the simulation, whose store is a model, plants its own of the same kind (`tests/simulation/bugs.rs`).

#[cfg(feature = "mutants")]
mod planted;

#[cfg(feature = "mutants")]
pub(crate) use planted::{old_balance, spoil, swap_neighbours};

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` plants bugs: it is not for a release build");

macro_rules! mutants {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])+ $variant,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$variant),+];

            /// Its name in the environment and in the table of `scripts/proof.sh mutants`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Mutant::$variant => $name,)+
                }
            }
        }
    };
}

mutants! {
    /// A batch is answered with what was decided, however its commit ends: as if it had been answered before.
    AnswerBeforeCommit = "answer-before-commit",
    /// A charge or hold does not see that its task is there, and PostgreSQL has no unique constraint that says so.
    NoUniqueTask = "no-unique-task",
    /// PostgreSQL reads a batch's users without locking them.
    NoRowLock = "no-row-lock",
    /// What was refunded before does not count against the charge.
    RefundCap = "refund-cap-unchecked",
    /// A statement of a batch fails, nobody looks, and COMMIT follows.
    SwallowedError = "swallowed-error",
    /// PostgreSQL reads leases without locking their workspaces: slots are counted outside the lock.
    LeaseOutsideLock = "lease-outside-lock",
    /// A batch is given up after it wrote, and its connection goes back with the transaction open.
    CancelledTransaction = "cancelled-transaction",
    /// A batch whose commit went unanswered is run again under another id.
    FreshBatchId = "fresh-batch-id",
    /// Balances are floats of yuan on their way through a batch.
    FloatMoney = "f64-money",
    /// A balance is answered as the read before this one found it.
    StaleBalance = "stale-balance",
    /// A capture takes a hold that was voided.
    VoidedCaptured = "voided-and-captured",
    /// Two callers of a batch get each other's answers.
    NeighbourSwap = "neighbour-swap",
}

/// Whether this bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
pub const fn on(_: Mutant) -> bool {
    false
}

/// Whether this bug was chosen.
///
/// # Panics
/// If the environment names one that does not exist.
#[cfg(feature = "mutants")]
pub fn on(mutant: Mutant) -> bool {
    chosen() == Some(mutant)
}

/// The bug that is on, if one is.
///
/// # Panics
/// If the environment names one that does not exist.
#[cfg(feature = "mutants")]
pub fn chosen() -> Option<Mutant> {
    static CHOSEN: std::sync::OnceLock<Option<Mutant>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("SCRIP_MUTANT").ok()?;
        let found = Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name);
        assert!(found.is_some(), "SCRIP_MUTANT: there is no bug {name:?}");
        tracing::warn!(mutant = name, "a bug is planted in this process");
        found
    })
}
