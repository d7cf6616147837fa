//! How busy an account looks to the choice: the lower, the sooner it is chosen.
//!
//! The load is counted in 1/1024: 1024 is an account as busy as its limit. It starts from utilisation,
//! `(2 × in flight + 1) ÷ (2 × limit)`, which is what in flight ÷ limit is in the middle of the step the next lease
//! makes: Webster's (Sainte-Laguë's) rule of apportionment, which keeps accounts of unequal limits nearest to equal
//! utilisation. The weight divides it. What speaks against an account makes it look busier, by an *added* amount: a
//! factor would leave an account that fails fast, and is therefore always empty, the first choice.

/// A full account.
pub const FULL: u32 = 1_024;

/// The most that recent errors add: twice full at a share of 1,000 ‰.
const ERRORS: i64 = 2 * FULL as i64;
/// The most that slowness adds; reached at ten times the typical latency, begun at twice.
const SLOW: i64 = FULL as i64;
/// Added where the known credit does not cover the job.
const CANNOT_PAY: i64 = FULL as i64 / 2;
/// Added where no known credit is left. Not more: what credit there is shall not be stranded, and a top-up may have
/// gone unheard.
const EXHAUSTED: i64 = FULL as i64;
/// Added where this very task has just failed.
const FAILED_HERE: i64 = FULL as i64;

/// What is known against an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Against {
    /// Recent share of failures, in permille.
    pub error_permille: u32,
    /// How many times slower than typical, in permille; 1,000 is not slower.
    pub slowness_permille: i64,
    /// Known credit less what its open leases are expected to cost, in nano-USD.
    pub credit_nano_usd: Option<i64>,
    /// Whether this task's last attempt failed here.
    pub failed_here: bool,
}

/// The load of `in_flight` of `limit` slots, before what speaks against the account.
pub fn utilisation(in_flight: u32, limit: u32, weight: u32) -> u32 {
    let parts = u64::from(in_flight).saturating_mul(2).saturating_add(1).saturating_mul(u64::from(FULL) * 50);
    let share = u64::from(limit).saturating_mul(u64::from(weight)).max(1);
    u32::try_from(parts.checked_div(share).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// What is added for all that is known against an account, for a job of this estimated cost in nano-USD.
pub fn penalty(against: &Against, estimated_cost_nano_usd: i64) -> u32 {
    let errors = i64::from(against.error_permille.min(1_000)).saturating_mul(ERRORS) / 1_000;
    let slow = against.slowness_permille.saturating_sub(2_000).clamp(0, 8_000).saturating_mul(SLOW) / 8_000;
    let credit = match against.credit_nano_usd {
        Some(credit) if credit <= 0 => EXHAUSTED,
        Some(credit) if credit < estimated_cost_nano_usd => CANNOT_PAY,
        _ => 0,
    };
    let failed = if against.failed_here { FAILED_HERE } else { 0 };
    let sum = errors.saturating_add(slow).saturating_add(credit).saturating_add(failed);
    u32::try_from(sum).unwrap_or(u32::MAX)
}

/// Spreads a random number over the accounts: each gets its own, and the same seed gives the same (the finaliser of
/// SplitMix64, Steele et al. 2014).
pub const fn lot(random: u64, account_id: i64) -> u64 {
    let mut z = random ^ account_id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_unequal_limits_fill_evenly() {
        let limits = [2_u32, 5, 10, 20, 40];
        let mut in_flight = [0_u32; 5];
        for _ in 0..62 {
            let next = (0..5).min_by_key(|&i| utilisation(in_flight[i], limits[i], 100)).unwrap();
            in_flight[next] += 1;
        }
        for (used, limit) in in_flight.iter().zip(limits) {
            let exact = 62.0 / 77.0 * f64::from(limit);
            assert!((f64::from(*used) - exact).abs() <= 0.75, "{used} of {limit}, exactly {exact}");
        }
    }

    #[test]
    fn a_weight_of_200_carries_twice_the_share_and_one_of_zero_is_no_division() {
        assert_eq!(utilisation(10, 20, 200), utilisation(10, 40, 100));
        assert!(utilisation(0, 0, 0) > FULL);
    }

    #[test]
    fn an_empty_account_that_always_fails_is_no_choice_beside_a_full_healthy_one() {
        let failing = Against { error_permille: 1_000, slowness_permille: 1_000, ..Against::default() };
        assert!(utilisation(0, 40, 100) + penalty(&failing, 0) > utilisation(39, 40, 100));
    }

    #[test]
    fn credit_is_a_preference_and_no_bar() {
        let with = |credit| Against { credit_nano_usd: credit, ..Against::default() };
        assert_eq!(penalty(&with(None), 500), 0);
        assert_eq!(penalty(&with(Some(500)), 500), 0);
        assert!(penalty(&with(Some(499)), 500) > 0);
        assert!(penalty(&with(Some(0)), 500) > penalty(&with(Some(1)), 500));
        assert!(penalty(&with(Some(1)), 500) + utilisation(0, 20, 100) < utilisation(12, 20, 100));
    }

    #[test]
    fn one_seed_draws_different_lots_for_different_accounts() {
        assert_ne!(lot(1, 1), lot(1, 2));
        assert_ne!(lot(1, 1), lot(2, 1));
        assert_eq!(lot(7, 9), lot(7, 9));
    }

    #[test]
    fn utilisation_is_counted_from_the_middle_of_the_step_that_the_next_lease_makes() {
        assert_eq!(utilisation(0, 1, 100), FULL / 2);
        assert_eq!(utilisation(2, 4, 100), FULL * 5 / 8);
        assert_eq!(utilisation(4, 4, 100), FULL * 9 / 8);
        assert_eq!(utilisation(2, 4, 50), FULL * 5 / 4);
    }

    #[test]
    fn what_speaks_against_an_account_adds_up_to_as_much_as_is_written() {
        let healthy = Against { slowness_permille: 1_000, ..Against::default() };
        assert_eq!(penalty(&healthy, 0), 0);
        let errors = |error_permille| penalty(&Against { error_permille, ..healthy }, 0);
        assert_eq!([500, 1_000, 2_000].map(errors), [FULL, 2 * FULL, 2 * FULL]);
        let slow = |slowness_permille| penalty(&Against { slowness_permille, ..healthy }, 0);
        assert_eq!([2_000, 6_000, 10_000, 20_000].map(slow), [0, FULL / 2, FULL, FULL]);
        let credit = |credit| penalty(&Against { credit_nano_usd: Some(credit), ..healthy }, 500);
        assert_eq!([500, 499, 1, 0, -1].map(credit), [0, FULL / 2, FULL / 2, FULL, FULL]);
        let all = Against {
            error_permille: 1_000,
            slowness_permille: 10_000,
            credit_nano_usd: Some(0),
            failed_here: true,
        };
        assert_eq!(penalty(&all, 0), 5 * FULL);
    }

    #[test]
    fn lots_are_those_of_splitmix64() {
        // The first outputs of the published generator, seeded with 0: its state rises by this constant.
        let published = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!([1, 2, 3].map(|account_id| lot(0, account_id)), published);
        assert_eq!(lot(0x9e37_79b9_7f4a_7c15, 1), 0, "the seed and the account cancel out");
    }
}
