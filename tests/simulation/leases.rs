//! The checkers of leases, once all is healed: what runners were told of them against what the pool holds.

use std::collections::BTreeMap;

use scrip::keypool::Done;
use scrip::ledger::{Command, Text};

use crate::history::{End, Sent, Told};
use crate::support::model::keypool_world::World as PoolWorld;

/// Each lease that was told of is there as it was told; what was given back is closed.
pub(crate) fn as_told(history: &[Sent], pool: &PoolWorld, wrong: &mut Vec<String>) {
    for sent in history {
        if let Some(told) = sent.answer().and_then(|answer| answer.lease.as_ref()).map(|told| &told.lease) {
            let stored = pool.leases.get(&told.lease_id);
            let agrees = stored.is_some_and(|stored| {
                (&stored.task_id, stored.account_id, &stored.key_id, stored.fence, stored.acquire_time)
                    == (&told.task_id, told.account_id, &told.key_id, told.fence, told.acquire_time)
                    && stored.expire_time >= told.expire_time
            });
            if !agrees {
                wrong.push(format!("the lease is stored as {stored:?}: {sent}"));
            }
        }
        let Some((_, End::Done(Told::Keys(answer)))) = &sent.end else { continue };
        let agrees = match &answer.done {
            Done::Released(released) => pool.leases.get(&released.lease.lease_id) == Some(&released.lease),
            Done::Renewed(renewed) => {
                let stored = pool.leases.get(&renewed.lease_id);
                stored.is_some_and(|stored| stored.expire_time >= renewed.expire_time)
            }
            Done::Expired(_) | Done::Account(_) | Done::Nothing => true,
        };
        if !agrees {
            wrong.push(format!("its lease is not as it was told: {sent}"));
        }
    }
}

/// A runner whose task was given a newer lease neither starts nor fails it any more.
pub(crate) fn superseded(history: &[Sent], pool: &PoolWorld, wrong: &mut Vec<String>) {
    let mut told: BTreeMap<&Text, Vec<(i64, u64)>> = BTreeMap::new();
    for sent in history {
        let Some((Some(granted), (at, _))) = sent.answer().map(|it| &it.lease).zip(sent.end.as_ref()) else {
            continue;
        };
        told.entry(&granted.lease.task_id).or_default().push((granted.lease.fence, *at));
    }
    for sent in history.iter().filter(|sent| sent.answer().is_some_and(|answer| !answer.replayed)) {
        let Some(command @ (Command::StartTask(_) | Command::FailTask(_))) = sent.command() else { continue };
        let Some(lease) = command.lease_id().and_then(|lease_id| pool.leases.get(lease_id)) else { continue };
        let newer = told.get(&lease.task_id).into_iter().flatten();
        let mut newer = newer.filter(|(fence, at)| *fence > lease.fence && *at < sent.begun);
        if let Some((fence, _)) = newer.next() {
            wrong.push(format!("its lease was superseded by fence {fence} before it was sent: {sent}"));
        }
    }
}
