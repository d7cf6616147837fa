//! Leases: never more at once than the limit, one live lease a task, fences that rise, each as it was told.

use std::collections::{BTreeMap, HashMap};

use super::Findings;
use super::delivery::{Asked, Delivery};
use crate::books::{Books, Lease};
use crate::call::Call;

/// An hour, by which clocks are stepped, in microseconds.
const STEP: i64 = 3_600_000_000;
/// Runs that are longer than this can not tell a stepped moment from a true one.
pub(crate) const LONGEST: i64 = 45 * 60_000_000;

/// The true moment of one that a stepped clock told: no run is so long that an hour off could lie within it.
pub(crate) const fn unstepped(at: i64, began: i64) -> i64 {
    let margin = STEP / 8;
    if at == i64::MAX {
        at
    } else if at < began - margin {
        at + STEP
    } else if at > began + LONGEST + margin {
        at - STEP
    } else {
        at
    }
}

/// By a sweep over all beginnings and ends, by the clock that judged them, put right where it was stepped.
pub(crate) fn check_limits(books: &Books, put_right: impl Fn(i64) -> i64, found: &mut Findings) {
    let mut limits: BTreeMap<&str, i64> = BTreeMap::new();
    let mut workspaces: HashMap<i64, &str> = HashMap::new();
    for account in &books.accounts {
        workspaces.insert(account.id, &account.workspace);
        // The smallest of a workspace's accounts holds for all.
        let limit = limits.entry(&account.workspace).or_insert(account.limit);
        *limit = account.limit.min(*limit);
    }
    let mut moments: BTreeMap<&str, Vec<(i64, i64, &Lease)>> = BTreeMap::new();
    for lease in &books.leases {
        let Some(workspace) = workspaces.get(&lease.account) else {
            found.add("lease", || format!("of no account: {lease:?}"));
            continue;
        };
        let moments = moments.entry(workspace).or_default();
        moments.push((put_right(lease.acquired), 1, lease));
        // A slot that is given back and taken at one moment was given back first: -1 sorts before 1.
        moments.push((put_right(lease.released), -1, lease));
    }
    for (workspace, mut moments) in moments {
        moments.sort_by_key(|(at, step, _)| (*at, *step));
        let mut open = 0;
        for (_, step, lease) in moments {
            open += step;
            if step > 0 && open > limits[workspace] {
                found.add("lease", || format!("{open} at once in {workspace}, the newest of them {lease:?}"));
            }
        }
    }
}

/// The fences of each task are 1, 2, 3 …, and at most one of its leases is live.
pub(crate) fn check_fences(books: &Books, found: &mut Findings) {
    let mut uses: HashMap<i64, i64> = HashMap::new();
    let mut before: Option<&Lease> = None;
    for lease in &books.leases {
        *uses.entry(lease.account).or_default() += 1;
        let earlier = before.filter(|earlier| earlier.task == lease.task);
        let due = earlier.map_or(1, |earlier| earlier.fence + 1);
        if lease.fence != due {
            found.add("fence", || format!("{due} was due: {lease:?}"));
        }
        if earlier.is_some_and(|earlier| earlier.released == i64::MAX) {
            found.add("fence", || format!("an earlier lease of the task is open: {earlier:?}, {lease:?}"));
        }
        before = Some(lease);
    }
    for account in &books.accounts {
        let given = uses.get(&account.id).copied().unwrap_or_default();
        if account.uses != given {
            found.add("lease", || format!("{given} leases were given: {account:?}"));
        }
    }
}

/// Each lease that a caller was told of is there as it was told; what was given back is closed.
pub(crate) fn check_told(deliveries: &[Delivery<'_>], books: &Books, found: &mut Findings) {
    let stored: HashMap<&str, &Lease> =
        books.leases.iter().map(|lease| (lease.lease.as_str(), lease)).collect();
    let mut given: HashMap<(i64, &str), &Delivery<'_>> = HashMap::new();
    for delivery in deliveries {
        let Some(told) = delivery.told() else { continue };
        if let Asked::Call(Call::Complete { settle, .. } | Call::Fail { settle, .. }) = delivery.asked
            && stored.get(settle.lease.as_str()).is_some_and(|lease| lease.released == i64::MAX)
        {
            found.add("lease", || format!("settled, and its lease is open: {delivery}"));
        }
        let Some(lease) = &told.lease else { continue };
        let row = stored.get(lease.lease.as_str());
        let is_same = row.is_some_and(|row| {
            (row.account, &row.key, &row.task, &row.runner, row.fence)
                == (lease.account, &lease.key, &lease.task, &lease.runner, lease.fence)
        });
        if !is_same {
            found.add("acknowledged", || format!("the lease is {row:?}: {delivery}"));
        }
        let is_release = matches!(delivery.asked, Asked::Call(Call::Release { .. }));
        if is_release && row.is_some_and(|row| row.released == i64::MAX) {
            found.add("lease", || format!("given back, and open: {delivery}"));
        }
        let asks = matches!(delivery.asked, Asked::Call(Call::Select { .. } | Call::Charge(_)));
        if let Some(user) = delivery.user.filter(|_| asks && !delivery.request().is_empty()) {
            let first = given.entry((user, delivery.request())).or_insert(delivery);
            let original = first.told().and_then(|told| told.lease.as_ref()).map(|lease| &lease.lease);
            if original != Some(&lease.lease) {
                found
                    .add("replay", || format!("another lease than at first: {delivery}; the first: {first}"));
            }
        }
    }
}
