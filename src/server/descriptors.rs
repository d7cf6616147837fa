//! How many files and sockets the process may have open, and how many of them connections may take.
//!
//! A login shell gives 1,024 at first, which is fewer than the connections that are served by default. Without a
//! descriptor left nothing is accepted, and the database is not reached either: so the first limit is raised to the
//! last one, and some are kept from the connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the database, the admin port, fal, files of certificates and keys.
const KEPT: u64 = 192;

/// Raises the limit, and answers how many connections may be served: those that are wanted, or what the limit leaves.
pub fn connections_within_limit(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = maximum.is_none_or(|maximum| current.is_some_and(|current| current < maximum));
    let limit = if raised && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        maximum
    } else {
        current
    };
    let fit = limit.map_or(wanted, |limit| within(limit, wanted));
    if fit < wanted {
        tracing::warn!(
            wanted,
            served = fit,
            "fewer connections are served than --max-connections says: the process may open too few files (ulimit -n)"
        );
    }
    fit
}

fn within(limit: u64, wanted: usize) -> usize {
    let left = limit.saturating_sub(KEPT.min(limit / 2)).max(1);
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_some_descriptors_to_the_rest() {
        assert_eq!(within(65_536, 10_000), 10_000);
        assert_eq!(within(10_000, 10_000), 9_808);
        assert_eq!(within(100, 10_000), 50, "half of few");
        assert_eq!(within(0, 10_000), 1);
    }
}
