//! Enums of the wire and of the domain. A value of 0 is "not given"; what that means, each field says.

use crate::ledger::limits::Checks;
use crate::ledger::{Funding, LeaseOutcome, Operation, Purse, SourceType, TaskStatus};
use crate::pb;

/// An enum of the wire with its counterpart in the domain.
pub(super) trait WireEnum: TryFrom<i32> {
    type Domain;

    /// `None` for the value 0.
    fn domain(self) -> Option<Self::Domain>;
}

/// Reads an enum field. `None` if it was not given, or is no value of the enum, which is noted.
pub(super) fn read<E: WireEnum>(
    field: &'static str,
    number: i32,
    checks: &mut Checks<'_>,
) -> Option<E::Domain> {
    match E::try_from(number) {
        Ok(value) => value.domain(),
        Err(_) => {
            checks.violation(field, format!("must be a value of its enum, {number} is none"));
            None
        }
    }
}

/// Pairs the values of two enums, both ways.
macro_rules! paired {
    ($wire:ident: $($variant:ident),+) => {
        impl WireEnum for pb::$wire {
            type Domain = $wire;

            fn domain(self) -> Option<$wire> {
                match self {
                    pb::$wire::Unspecified => None,
                    $(pb::$wire::$variant => Some($wire::$variant),)+
                }
            }
        }

        impl From<$wire> for pb::$wire {
            fn from(value: $wire) -> Self {
                match value {
                    $($wire::$variant => pb::$wire::$variant,)+
                }
            }
        }
    };
}

paired!(Purse: Points, Cash);
paired!(Operation: Charge, Capture, Refund, Credit, Debit);
paired!(SourceType: Recharge, Consume, Gift, Refund, Reward, System, AgentRevenue);
paired!(TaskStatus: Pending, Processing, Completed, Failed, Canceled);
paired!(
    LeaseOutcome: Succeeded, RateLimited, AccountLocked, AuthFailed, UpstreamError, CallerError, RunnerCanceled, Expired
);

impl WireEnum for pb::Funding {
    type Domain = Funding;

    fn domain(self) -> Option<Funding> {
        match self {
            pb::Funding::Unspecified => None,
            pb::Funding::PointsOnly => Some(Funding::PointsOnly),
            pb::Funding::CashOnly => Some(Funding::CashOnly),
        }
    }
}
