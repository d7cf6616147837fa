//! Planted bugs of the store: what the simulation must catch. None of them is in the product.

use std::time::Duration;

use scrip::ledger::Change;
#[cfg(feature = "mutants")]
use scrip::mutants::Mutant;
use scrip::store::{Failure, Footprint, Plan, Run, Snapshot, StoreError, Transacted, Writer};
use uuid::Uuid;

use crate::database::Database;
use crate::support::model::{End, Fault};

/// A bug, and how often it bites where it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A commit is answered before it happened, and is then lost.
    AnswersBeforeCommit,
    /// A commit that is lost with its answer is taken for done.
    TakesUnknownForCommitted,
    /// A commit whose answer is lost is taken for failed, and run again under another id.
    TakesUnknownForFailed,
    /// A statement failed, nobody looked, and COMMIT followed, which PostgreSQL answers with a rollback.
    SwallowsErrors,
    /// A batch is given up after it wrote, and the next one on its connection commits it, too.
    CommitsWhatWasGivenUp,
    /// Users are not locked: what is decided on is read before others commit.
    LocksNothing,
    /// Workspaces are not locked: slots are counted before others commit.
    CountsSlotsOutsideTheLock,
    /// An idempotency record is not written.
    DropsARequest,
    /// A new lease is not written.
    DropsALease,
    /// Users are not written, while their entries are.
    TearsACommit,
    /// A task is written as it was before.
    ForgetsATask,
}

impl Bug {
    /// The one that stands for the bug of `src/mutants.rs` that is on, where that is in the stores: here the store is a
    /// model. All others are in the engine, and so in the simulation as they are.
    #[cfg(feature = "mutants")]
    pub(crate) fn of_the_stores() -> Option<Self> {
        match scrip::mutants::chosen()? {
            Mutant::NoRowLock => Some(Bug::LocksNothing),
            Mutant::LeaseOutsideLock => Some(Bug::CountsSlotsOutsideTheLock),
            Mutant::SwallowedError => Some(Bug::SwallowsErrors),
            Mutant::CancelledTransaction => Some(Bug::CommitsWhatWasGivenUp),
            _ => None,
        }
    }

    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn of_the_stores() -> Option<Self> {
        None
    }

    /// The rules that it breaks, in words of what the checkers say.
    pub(crate) const fn breaks(self) -> &'static [&'static str] {
        match self {
            Bug::AnswersBeforeCommit | Bug::TakesUnknownForCommitted | Bug::SwallowsErrors => &[
                "what it was answered with is not what is stored",
                "it was acknowledged, and the task is None",
            ],
            Bug::TakesUnknownForFailed => &["a replay for its caller, yet done"],
            Bug::CommitsWhatWasGivenUp => &["not done for its caller, yet done"],
            Bug::LocksNothing => &["its open holds sum to", "answered with an internal error"],
            Bug::CountsSlotsOutsideTheLock => &["open leases of", "what: \"use_cnt\""],
            Bug::DropsARequest => &["has no record of its request", "its record is None"],
            Bug::DropsALease => &["the lease is stored as None"],
            Bug::TearsACommit => &["the entries sum to", "the head of the chain is"],
            Bug::ForgetsATask => &["charged and refunded", "its open holds sum to"],
        }
    }

    fn bites(self, database: &Database) -> bool {
        database.chance().is(20)
    }

    /// How the batch shall end where chance has chosen `end`.
    pub(crate) fn end(database: &Database, end: End) -> End {
        match database.bug {
            Some(bug @ Bug::AnswersBeforeCommit) if end == End::AsUsual && bug.bites(database) => {
                End::UnknownLost
            }
            _ => end,
        }
    }

    /// What the engine hears of a batch, by how chance chose it to end and how it was run.
    pub(crate) fn told(database: &Database, (chosen, run): (End, End), ended: Transacted) -> Transacted {
        match (database.bug, ended) {
            (Some(Bug::AnswersBeforeCommit), Transacted::Unknown(_)) if chosen != run => {
                Transacted::Committed
            }
            (Some(Bug::TakesUnknownForCommitted), Transacted::Unknown(_)) if run == End::UnknownLost => {
                Transacted::Committed
            }
            (Some(Bug::TakesUnknownForFailed), Transacted::Unknown(_)) if run == End::UnknownCommitted => {
                let (what, source) = ("a planted bug", "taken for failed".into());
                Transacted::NotCommitted(Failure::Again(StoreError::Unavailable { what, source }))
            }
            (Some(Bug::SwallowsErrors), Transacted::NotCommitted(_))
                if matches!(run, End::NotCommitted(_)) =>
            {
                Transacted::Committed
            }
            (Some(Bug::CommitsWhatWasGivenUp), Transacted::Unknown(_)) if run == End::UnknownCommitted => {
                let (what, source) = ("a planted bug", "given up".into());
                Transacted::NotCommitted(Failure::Stop(StoreError::Unavailable { what, source }))
            }
            (_, ended) => ended,
        }
    }

    /// What is written of a plan.
    pub(crate) fn spoil(database: &Database, mut plan: Plan) -> Plan {
        let Some(bug) = database.bug else { return plan };
        match bug {
            Bug::DropsARequest if bug.bites(database) => {
                plan.ledger.requests.pop();
            }
            Bug::DropsALease if bug.bites(database) => {
                plan.keys.leases.retain(|(change, _)| *change != Change::Insert);
            }
            Bug::TearsACommit if bug.bites(database) => {
                plan.ledger.users.retain(|(change, _)| *change != Change::Update);
            }
            Bug::ForgetsATask if bug.bites(database) => {
                plan.ledger.tasks.retain(|write| write.change != Change::Update);
            }
            _ => {}
        }
        plan
    }
}

/// Rows that were read too early, and what of them is decided on.
pub(crate) struct Early {
    rows: Snapshot,
    all: bool,
}

impl Early {
    /// Reads a footprint, and lets go of all locks for a while, where the bug does so.
    pub(crate) async fn read(
        bug: Bug,
        database: &Database,
        writer: &mut dyn Writer,
        footprint: &Footprint,
    ) -> Option<Self> {
        let all = bug == Bug::LocksNothing;
        if !(all || bug == Bug::CountsSlotsOutsideTheLock) {
            return None;
        }
        let mut rows = None;
        let mut take = |snapshot: Snapshot| {
            rows = Some(snapshot);
            Plan::default()
        };
        let id = Uuid::from_u128(database.chance().number().into());
        database.model.faults().script([Fault::as_usual()]);
        writer.transact(id, Run::First, footprint, &mut take).await;
        let pause: Duration = database.chance().millis(0, 100);
        tokio::time::sleep(pause).await;
        rows.map(|rows| Self { rows, all })
    }

    /// What is decided on in the place of what is there.
    pub(crate) fn instead(early: Option<&Self>, there: Snapshot) -> Snapshot {
        match early {
            None => there,
            Some(early) if early.all => early.rows.clone(),
            Some(early) => Snapshot { keys: early.rows.keys.clone(), ..there },
        }
    }
}
