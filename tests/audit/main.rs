//! Property tests of the audit: whatever the evidence, the fold finds what a search of everything in memory would find,
//! the same evidence gives the same findings, and the layers of the report agree with each other.

mod generate;
mod reference;
mod scale;

use std::collections::BTreeSet;

use generate::{World, world};
use proptest::prelude::*;
use scrip::audit::{Audit, Collected, CostChange, Evidence, Finding, Language, Need, Report, Rule};

/// Runs an audit; the rows of users come after the streams where `users_last`, before them otherwise.
fn audit(world: &World, users_last: bool) -> (Report, Collected) {
    let mut out = Collected::default();
    let World { scope, thresholds, accounts, .. } = world.clone();
    let mut audit = Audit::new(scope, thresholds, accounts).expect("sound");
    let users = |audit: &mut Audit, out: &mut Collected| {
        for row in &world.user_tasks {
            audit.user_tasks(row).expect("in order");
        }
        for row in &world.user_days {
            audit.user_day(row, out).expect("in order");
        }
    };
    if !users_last {
        users(&mut audit, &mut out);
    }
    let (mut tasks, mut events) = (world.tasks.iter().cloned(), world.events.iter().cloned());
    loop {
        match audit.need() {
            Need::Task => audit.task(tasks.next(), &mut out).expect("in order"),
            Need::Event => audit.event(events.next(), &mut out).expect("in order"),
            Need::Nothing => break,
        }
    }
    if users_last {
        users(&mut audit, &mut out);
    }
    let report = audit.finish(&mut out).expect("ended");
    out.findings.sort();
    out.costs.sort();
    (report, out)
}

fn stray(finding: &Finding) -> Option<(String, i128)> {
    let of_request = finding.rule == Rule::A3 && finding.evidence.text("of") == Some("request");
    let billed = finding.evidence.number("billed_nano_usd")?;
    of_request.then(|| (finding.online_task_id.as_deref().unwrap_or_default().to_owned(), billed))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_matches_as_a_search_of_everything_would(world in world()) {
        let (report, out) = audit(&world, true);
        let expected = world.outcome();
        prop_assert_eq!(out.costs.iter().cloned().collect::<BTreeSet<CostChange>>(), expected.costs);
        prop_assert_eq!(out.findings.iter().filter_map(stray).collect::<std::collections::BTreeMap<_, _>>(), expected.strays);
        prop_assert_eq!(report.totals.sums.billed_nano_usd, expected.billed);
        let workspaces = report.workspaces.iter();
        let workspaces = workspaces.map(|row| (row.workspace.to_string(), (row.billed_nano_usd, row.recorded_nano_usd)));
        prop_assert_eq!(workspaces.collect::<std::collections::BTreeMap<_, _>>(), expected.workspaces);
    }

    #[test]
    fn the_order_of_input_decides_nothing_beyond_the_sorting_that_is_asked_for(
        (world, shuffled, accounts) in world().prop_flat_map(|world| {
            let events = Just(world.events.clone()).prop_shuffle();
            let accounts = Just(world.accounts.clone()).prop_shuffle();
            (Just(world), events, accounts)
        })
    ) {
        let expected = audit(&world, true);
        let mut other = World { events: shuffled, accounts, ..world };
        other.sort_events();
        prop_assert_eq!(audit(&other, false), expected);
    }

    #[test]
    fn applying_the_costs_changes_nothing_but_that_none_is_left_to_apply(world in world()) {
        let (report, out) = audit(&world, true);
        let mut applied = world;
        for change in &out.costs {
            let task = applied.tasks.iter_mut().find(|task| task.task_id == change.task_id).expect("known");
            prop_assert_eq!(task.billed_cost_nano_usd, change.from_nano_usd);
            task.billed_cost_nano_usd = Some(change.to_nano_usd);
        }
        let (again, after) = audit(&applied, true);
        prop_assert_eq!(again, report);
        prop_assert_eq!(after.findings, out.findings);
        prop_assert_eq!(after.costs, []);
    }

    #[test]
    fn the_layers_and_totals_of_a_report_agree(mut world in world()) {
        for account in &mut world.accounts {
            account.selected = true;
        }
        let (report, out) = audit(&world, true);
        let mut sums = [0_i128; 5];
        let mut add = |at: usize, figure: i128| sums[at] += figure;
        report.tasks.iter().for_each(|row| add(0, row.sums.charged_points.into()));
        report.models.iter().for_each(|row| add(1, row.sums.charged_points));
        report.days.iter().for_each(|row| add(2, row.sums.charged_points));
        report.users.iter().for_each(|row| add(3, row.charged_points.into()));
        world.tasks.iter().filter(|task| (1_000..2_000).contains(&task.create_time.0)).for_each(|task| add(4, task.money.into()));
        prop_assert_eq!(sums, [report.totals.sums.charged_points; 5]);
        prop_assert_eq!(report.totals.users.charged_points, report.totals.sums.charged_points);

        let tasks: u64 = report.tasks.iter().map(|row| row.sums.tasks).sum();
        prop_assert_eq!(tasks, report.totals.sums.tasks);
        let cost = |rows: &mut dyn Iterator<Item = i128>| rows.sum::<i128>();
        let by_task = cost(&mut report.tasks.iter().map(|row| row.sums.cost_nano_usd.into()));
        let by_day = cost(&mut report.days.iter().map(|row| row.sums.cost_nano_usd));
        prop_assert_eq!((by_task, by_day), (report.totals.sums.cost_nano_usd, report.totals.sums.cost_nano_usd));

        let events = report.totals.events;
        prop_assert_eq!(report.workspaces.iter().map(|row| row.events.cost_nano_usd).sum::<i128>(), events.cost_nano_usd);
        prop_assert_eq!(report.days.iter().map(|row| row.events.cost_nano_usd).sum::<i128>(), events.cost_nano_usd);
        prop_assert_eq!(report.models.iter().map(|row| row.events.events).sum::<u64>(), events.events);
        let models = report.workspaces.iter().flat_map(|row| &row.models);
        prop_assert_eq!(models.map(|row| row.events.cost_nano_usd).sum::<i128>(), events.cost_nano_usd);

        prop_assert_eq!(report.findings.total(), out.findings.len() as u64);
        prop_assert_eq!(report.findings.rules.values().sum::<u64>(), report.findings.total());
        let broken = report.users.iter().filter(|row| !row.ok).count() as u64;
        prop_assert_eq!(report.findings.rules.get(&Rule::A4).copied().unwrap_or_default(), broken);
    }

    #[test]
    fn every_finding_says_all_its_figures_and_survives_json(world in world()) {
        for finding in audit(&world, true).1.findings {
            for language in Language::ALL {
                let message = finding.message(*language);
                prop_assert!(!message.contains(['?', '{', '}']), "{}", message);
            }
            prop_assert_eq!(finding.severity, finding.rule.severity());
            let json = finding.evidence.to_json();
            prop_assert_eq!(Evidence::from_json(&json), Some(finding.evidence));
        }
    }
}

#[test]
fn random_evidence_makes_every_rule_fire() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut fired = BTreeSet::new();
    for _ in 0..2_000 {
        let world = world().new_tree(&mut runner).expect("a world").current();
        fired.extend(audit(&world, true).1.findings.iter().map(|finding| finding.rule));
    }
    // Rule B4 repeats what `verify` found, of which there is nothing here.
    let silent: Vec<&Rule> = Rule::ALL.iter().filter(|rule| !fired.contains(rule)).collect();
    assert_eq!(silent, [&Rule::B4]);
}
