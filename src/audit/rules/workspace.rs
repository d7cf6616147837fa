//! The rules on a workspace of fal: A1, A8, B7.

use super::super::thresholds::exceeds;
use super::super::{Evidence, Finding, Micros, Rule, Scope, Text, Thresholds, Usage};

/// A1: |billed − recorded| ÷ billed is more than the share, or nothing is billed and something recorded.
///
/// *Billed* are the events of the period's tasks and of requests without a task; *recorded* is what the tasks' runners
/// reported, and for a matched task without a report what was billed for it. Both in nano-USD. `complete`: whether all
/// events of the workspace were fetched.
pub fn a1(
    workspace: &Text,
    billed: i128,
    recorded: i128,
    complete: bool,
    thresholds: &Thresholds,
) -> Option<Finding> {
    let gap = recorded.saturating_sub(billed);
    if !complete || !exceeds(gap.saturating_abs(), billed.saturating_abs(), thresholds.cost_gap_bp) {
        return None;
    }
    let evidence = Evidence::new([
        ("billed_nano_usd", billed.into()),
        ("recorded_nano_usd", recorded.into()),
        ("gap_nano_usd", gap.into()),
        ("threshold_bp", thresholds.cost_gap_bp.into()),
    ]);
    Some(Finding { workspace: Some(Text::clone(workspace)), ..Finding::new(Rule::A1, evidence) })
}

/// A8: a balance of less than the threshold. A balance is a workspace's: its accounts are named, the first as the
/// finding's own. A balance that is not known is no finding.
pub fn a8(
    workspace: &Text,
    accounts: &[(i64, Text)],
    balance: Option<(i64, Micros)>,
    thresholds: &Thresholds,
) -> Option<Finding> {
    let (balance, balance_time) = balance?;
    if balance >= thresholds.low_balance_nano_usd {
        return None;
    }
    let ids: Vec<Text> = accounts.iter().map(|(account_id, _)| account_id.to_string().into()).collect();
    let evidence = Evidence::new([
        ("balance_nano_usd", balance.into()),
        ("balance_time", balance_time.into()),
        ("account_ids", ids.into()),
        ("threshold_nano_usd", thresholds.low_balance_nano_usd.into()),
    ]);
    Some(Finding {
        account_id: accounts.first().map(|(account_id, _)| *account_id),
        workspace: Some(Text::clone(workspace)),
        ..Finding::new(Rule::A8, evidence)
    })
}

/// B7: the usage endpoint's total is not the sum of the events in the same window, `events` of them.
///
/// Silent where the events were not all fetched, where they do not cover the usage's window, and while the window is
/// younger than the lag: fal still writes to both. For a period that is not over, ask fal for the usage until now less
/// the lag.
pub fn b7(
    workspace: &Text,
    usage: &Usage,
    (events, events_sum): (u64, i128),
    scope: &Scope,
    thresholds: &Thresholds,
) -> Option<Finding> {
    let covered = scope.events_start <= usage.start && usage.end <= scope.events_end;
    if !covered || scope.now.since(usage.end) < thresholds.billing_lag_micros {
        return None;
    }
    let total = usage.total();
    let difference = total.saturating_sub(events_sum);
    let tolerance = i128::from(thresholds.usage_tolerance_nano_usd).saturating_add(events.into());
    if difference.saturating_abs() <= tolerance {
        return None;
    }
    let evidence = Evidence::new([
        ("usage_nano_usd", total.into()),
        ("events_nano_usd", events_sum.into()),
        ("events", events.into()),
        ("difference_nano_usd", difference.into()),
        ("start_time", usage.start.into()),
        ("end_time", usage.end.into()),
        ("threshold_nano_usd", tolerance.into()),
    ]);
    Some(Finding { workspace: Some(Text::clone(workspace)), ..Finding::new(Rule::B7, evidence) })
}

/// B7, where fal answered so that it could not be read: whether its usage and its events agree cannot be told.
/// `unreadable` are the sources, in the words of the fetch.
pub fn b7_unreadable(workspace: &Text, unreadable: &[Text]) -> Option<Finding> {
    if unreadable.is_empty() {
        return None;
    }
    let mut unreadable = unreadable.to_vec();
    unreadable.sort();
    unreadable.dedup();
    let evidence = Evidence::new([("unreadable", unreadable.into())]);
    Some(Finding { workspace: Some(Text::clone(workspace)), ..Finding::new(Rule::B7, evidence) })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Language, UsageRow};
    use super::super::sample::{self, MINUTE, at};
    use super::*;

    const USD: i128 = 1_000_000_000;

    fn gap(billed: i128, recorded: i128) -> Option<Finding> {
        a1(&"w".into(), billed, recorded, true, &Thresholds::default())
    }

    #[test]
    fn a1_fires_on_a_gap_of_more_than_a_tenth_of_the_bill_either_way() {
        assert!(gap(10 * USD, 11 * USD).is_none() && gap(10 * USD, 9 * USD).is_none(), "exactly a tenth");
        let over = gap(10 * USD, 11 * USD + 1).expect("fires");
        assert_eq!(over.evidence.number("gap_nano_usd"), Some(USD + 1));
        assert!(gap(10 * USD, 9 * USD - 1).is_some());
        assert_eq!(
            gap(10 * USD, 5 * USD).expect("fires").message(Language::English),
            "Workspace w: fal billed 10 USD, its tasks record 5 USD; the gap of -5 USD is more than 10% of the bill."
        );
    }

    #[test]
    fn a1_fires_where_nothing_is_billed_and_anything_recorded() {
        assert!(gap(0, 0).is_none());
        assert!(gap(0, 1).is_some());
    }

    #[test]
    fn a1_does_not_fire_where_the_fetch_was_not_complete() {
        assert!(a1(&"w".into(), 0, USD, false, &Thresholds::default()).is_none());
    }

    #[test]
    fn a1_holds_for_the_largest_sums() {
        let most = i128::from(i64::MAX).saturating_mul(1 << 40);
        assert!(gap(most, most).is_none() && gap(most, 0).is_some() && gap(0, most).is_some());
    }

    #[test]
    fn a8_fires_below_one_dollar_and_names_the_accounts_of_the_workspace() {
        let accounts = [(3, "a".into()), (5, "b".into())];
        let judge = |balance| a8(&"w".into(), &accounts, balance, &Thresholds::default());
        assert!(judge(Some((1_000_000_000, at(0)))).is_none(), "exactly one dollar");
        assert!(judge(None).is_none(), "not known");
        let finding = judge(Some((999_999_999, at(0)))).expect("fires");
        assert_eq!(finding.account_id, Some(3));
        assert_eq!(
            finding.message(Language::Chinese),
            "工作区 w：余额 0.999999999 美元，低于 1 美元（账号 3, 5）。"
        );
        assert!(judge(Some((i64::MIN, at(0)))).is_some());
    }

    fn usage(cost: i64) -> Usage {
        let row =
            UsageRow { endpoint_id: "m".into(), unit: "image".into(), units_nano: 0, cost_nano_usd: cost };
        Usage { start: at(0), end: at(MINUTE), rows: vec![row.clone(), UsageRow { cost_nano_usd: 0, ..row }] }
    }

    #[test]
    fn b7_fires_where_the_totals_differ_by_more_than_rounding() {
        let judge = |cost| b7(&"w".into(), &usage(cost), (10, USD), &sample::scope(), &Thresholds::default());
        assert!(judge(1_000_000_000).is_none());
        assert!(judge(1_000_001_010).is_none() && judge(999_998_990).is_none(), "exactly the tolerance");
        assert!(judge(1_000_001_011).is_some() && judge(999_998_989).is_some());
        assert_eq!(
            judge(2_000_000_000).expect("fires").message(Language::English),
            "Workspace w: fal's usage totals 2 USD, its 10 billing events 1 USD; difference 1 USD."
        );
    }

    #[test]
    fn b7_fires_where_an_answer_cannot_be_read_and_says_which() {
        assert!(b7_unreadable(&"w".into(), &[]).is_none());
        let finding = b7_unreadable(&"w".into(), &["usage".into(), "billing_events".into(), "usage".into()]);
        assert_eq!(
            finding.expect("fires").message(Language::English),
            "Workspace w: fal's answer cannot be read (billing_events, usage): it is kept as it came, and whether usage and \
             events agree cannot be told."
        );
    }

    #[test]
    fn b7_waits_for_the_lag_and_needs_events_of_the_same_window() {
        let thresholds = Thresholds::default();
        let judge = |scope: &Scope| b7(&"w".into(), &usage(0), (1, USD), scope, &thresholds);
        let end = at(MINUTE).plus(thresholds.billing_lag_micros);
        assert!(judge(&Scope { now: end, ..sample::scope() }).is_some());
        assert!(judge(&Scope { now: end.plus(-1), ..sample::scope() }).is_none());
        assert!(judge(&Scope { events_start: at(1), ..sample::scope() }).is_none());
        assert!(judge(&Scope { events_end: at(MINUTE - 1), ..sample::scope() }).is_none());
    }
}
