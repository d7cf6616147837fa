//! Which tasks get which billed cost, as data: whoever applies it writes that one column and nothing else.

use super::matching::Billing;
use super::pool::Pool;
use super::tally::Standing;
use super::{Scope, Task, Text, UserId};

/// A task whose billed cost is to be recorded. Applying it twice changes nothing more, and the next audit of the same
/// evidence plans nothing for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CostChange {
    /// Whose task.
    pub user_id: UserId,
    /// The task.
    pub task_id: Text,
    /// What is recorded now, in nano-USD.
    pub from_nano_usd: Option<i64>,
    /// What fal billed for all its requests, in nano-USD; 0 or more.
    pub to_nano_usd: i64,
}

/// The change for a task, if there is one: it has an event (none proves no cost of zero), all its events can be in the
/// evidence and are due, every workspace that billed it or may have was fetched to the end, and another cost is
/// recorded. A task that has not ended may be billed yet: its cost never falls.
pub(super) fn plan(
    task: &Task,
    billing: &Billing,
    standing: &Standing,
    pool: &Pool,
    scope: &Scope,
) -> Option<CostChange> {
    let whole = scope.reaches(task)
        && standing.is_due
        && standing.proves_absence
        && billing.parts.iter().all(|part| pool.is_complete(part.workspace));
    if billing.events == 0 || !whole {
        return None;
    }
    let to_nano_usd = i64::try_from(billing.cost).ok().filter(|cost| *cost >= 0)?;
    let falls = task.billed_cost_nano_usd.is_some_and(|recorded| to_nano_usd < recorded);
    if falls && task.complete_time.is_none() {
        return None;
    }
    (task.billed_cost_nano_usd != Some(to_nano_usd)).then(|| CostChange {
        user_id: task.user_id,
        task_id: Text::clone(&task.task_id),
        from_nano_usd: task.billed_cost_nano_usd,
        to_nano_usd,
    })
}
