//! The history as the checkers read it: one delivery for each call, and one for each item of a batch.

use std::collections::HashMap;
use std::fmt;

use crate::answer::{FROZEN, Outcome, Refused, Told};
use crate::call::{Call, Charge, Funding};
use crate::history::{Moment, Op};

/// What is asked for: a call, or an item of a batch, which is a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Call(&'a Call),
    Item(&'a Charge),
}

impl Asked<'_> {
    /// A call that names no user is its task's user's.
    fn user(self, owners: &HashMap<&str, i64>) -> Option<i64> {
        match self {
            Self::Item(item) => Some(item.user),
            Self::Call(Call::Charge(charge) | Call::Authorize { charge, .. }) => Some(charge.user),
            Self::Call(call) => {
                let owner = call.task().filter(|_| !call.names_user()).and_then(|task| owners.get(task));
                owner.copied().or_else(|| call.user())
            }
        }
    }
}

/// What a repeat under the same keys is compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Charge(&'a str, (i64, i64, &'a str, Funding)),
    Hold(&'a str, (i64, i64, &'a str, Funding), i64),
    Other(&'a Call),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) op: u64,
    /// Who sent it, to whom.
    pub(crate) between: (u32, u32),
    pub(crate) asked: Asked<'a>,
    /// Whose ledger it may move, or whose figures it reads.
    pub(crate) user: Option<i64>,
    /// Its batch stands or falls as a whole.
    pub(crate) is_atomic: bool,
    pub(crate) begun: Moment,
    /// `Moment::MAX` if it never ended.
    pub(crate) ended: Moment,
    pub(crate) outcome: Option<&'a Outcome>,
}

/// All deliveries, in the order in which they began. `owners` are the users of the tasks that there are.
pub(crate) fn deliveries<'a>(history: &'a [Op], owners: &HashMap<&str, i64>) -> Vec<Delivery<'a>> {
    let mut all = Vec::with_capacity(history.len());
    for op in history {
        let of = |asked: Asked<'a>, is_atomic, outcome| Delivery {
            op: op.op,
            between: (op.client, op.replica),
            asked,
            user: asked.user(owners),
            is_atomic,
            begun: op.begun,
            ended: op.ended(),
            outcome,
        };
        match &*op.call {
            Call::Batch { items, atomic } => {
                let each = match op.outcome() {
                    Some(Outcome::Each(each)) => Some(each),
                    _ => None,
                };
                for (at, item) in items.iter().enumerate() {
                    // A batch that was refused or not answered as a whole is that for each of its items.
                    let outcome = each.map_or(op.outcome(), |each| each.get(at));
                    all.push(of(Asked::Item(item), *atomic, outcome));
                }
            }
            call => all.push(of(Asked::Call(call), false, op.outcome())),
        }
    }
    all.sort_by_key(|delivery| delivery.begun);
    all
}

impl<'a> Delivery<'a> {
    pub(crate) fn told(&self) -> Option<&'a Told> {
        self.outcome.and_then(Outcome::told)
    }

    pub(crate) fn refused(&self) -> Option<&'a Refused> {
        match self.outcome {
            Some(Outcome::Fail(refused)) => Some(refused),
            _ => None,
        }
    }

    /// A refusal that its request_id keeps.
    pub(crate) fn frozen(&self) -> Option<&'a Refused> {
        let is_kept = !self.request().is_empty() && !self.is_atomic;
        self.refused().filter(|refused| is_kept && FROZEN.contains(&refused.reason.as_str()))
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.outcome.is_none_or(Outcome::is_unknown)
    }

    /// It did something, as far as its caller was told.
    pub(crate) fn did(&self) -> bool {
        self.told().is_some_and(|told| !told.replayed)
    }

    pub(crate) fn request(&self) -> &'a str {
        match self.asked {
            Asked::Call(call) => call.request(),
            Asked::Item(item) => &item.request,
        }
    }

    pub(crate) fn task(&self) -> Option<&'a str> {
        match self.asked {
            Asked::Call(call) => call.task(),
            Asked::Item(item) => Some(&item.task),
        }
    }

    pub(crate) fn is_write(&self) -> bool {
        match self.asked {
            Asked::Call(call) => call.is_write(),
            Asked::Item(_) => true,
        }
    }

    /// What it creates a task with, if it does, and how long its hold lives; `None` for a charge.
    pub(crate) fn creates(&self) -> Option<(&'a Charge, Option<i64>)> {
        match self.asked {
            Asked::Item(charge) | Asked::Call(Call::Charge(charge)) => Some((charge, None)),
            Asked::Call(Call::Authorize { charge, ttl_millis }) => Some((charge, Some(*ttl_millis))),
            Asked::Call(_) => None,
        }
    }

    pub(crate) fn content(&self) -> Content<'a> {
        match (self.creates(), self.asked) {
            (Some((charge, None)), _) => Content::Charge(&charge.task, charge.content()),
            (Some((charge, Some(ttl))), _) => Content::Hold(&charge.task, charge.content(), ttl),
            (None, Asked::Call(call)) => Content::Other(call),
            (None, Asked::Item(charge)) => Content::Charge(&charge.task, charge.content()),
        }
    }
}

impl fmt::Display for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |moment: Moment| moment as f64 / 1e6;
        let (client, replica) = self.between;
        write!(
            f,
            "op {} of client {client} to replica {replica} at {:.3} s: ",
            self.op,
            seconds(self.begun)
        )?;
        match self.asked {
            Asked::Call(call) => write!(f, "{call:?}")?,
            Asked::Item(item) => write!(f, "{item:?} in a batch")?,
        }
        match self.outcome {
            Some(outcome) => write!(f, ", told {outcome:?} at {:.3} s", seconds(self.ended)),
            None => f.write_str(", not answered"),
        }
    }
}
