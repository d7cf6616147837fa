//! Every figure that decides whether a rule fires, in one place.

/// When the rules fire. Shares are in basis points: 1 bp = 1/10,000. The defaults are those of the rules' definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// How young a task, request or total must be to be excused from billing, in microseconds: younger is pending,
    /// exactly as old is judged. Default 30 minutes.
    pub billing_lag_micros: i64,
    /// A1: a gap between bill and record of more than this share of the bill. Default 1,000 bp (10 %).
    pub cost_gap_bp: u32,
    /// A5: refunds of more than this share of the day's consumption. Default 3,000 bp (30 %).
    pub refund_share_bp: u32,
    /// A6: a day of more than this many times the mean. Default 5.
    pub spike_factor: u32,
    /// A6: how many days before are looked at. Default 7.
    pub spike_window_days: u32,
    /// A6: how many of them must have been active. Default 3.
    pub spike_active_days: u32,
    /// A6: days of less than this many points are never a spike. Default 1,000.
    pub spike_min_points: i64,
    /// A8: balances of less than this, in nano-USD. Default 1.00 USD.
    pub low_balance_nano_usd: i64,
    /// B1: differences of up to this share of the bill are excused. Default 100 bp (1 %).
    pub report_tolerance_bp: u32,
    /// B1: differences of up to this, in nano-USD, are excused, however small the bill. Default 0.00001 USD.
    pub report_tolerance_nano_usd: i64,
    /// B6: tasks older than this, in microseconds, exactly as old not yet. Default 24 hours.
    pub stuck_after_micros: i64,
    /// B7: differences of up to this, in nano-USD, and of one nano-USD more for each event, are excused: fal rounds
    /// each event and each total. Default 0.000001 USD.
    pub usage_tolerance_nano_usd: i64,
}

impl Default for Thresholds {
    fn default() -> Self {
        const MINUTE: i64 = 60_000_000;
        Self {
            billing_lag_micros: 30 * MINUTE,
            cost_gap_bp: 1_000,
            refund_share_bp: 3_000,
            spike_factor: 5,
            spike_window_days: 7,
            spike_active_days: 3,
            spike_min_points: 1_000,
            low_balance_nano_usd: 1_000_000_000,
            report_tolerance_bp: 100,
            report_tolerance_nano_usd: 10_000,
            stuck_after_micros: 24 * 60 * MINUTE,
            usage_tolerance_nano_usd: 1_000,
        }
    }
}

/// Whether `part` is more than `share_bp` of `whole`, exactly; of nothing, anything is.
pub(super) fn exceeds(part: i128, whole: i128, share_bp: u32) -> bool {
    part.saturating_mul(10_000) > whole.saturating_mul(share_bp.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_exceeded_beyond_the_boundary_and_never_at_it() {
        assert!(!exceeds(10, 100, 1_000) && exceeds(11, 100, 1_000));
        assert!(!exceeds(0, 0, 1_000) && exceeds(1, 0, 1_000));
        let most = i128::from(i64::MAX).saturating_mul(1 << 40);
        assert!(!exceeds(most, most, 10_000) && exceeds(most, most, 9_999));
    }
}
