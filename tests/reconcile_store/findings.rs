//! What a run found: the order and the pages of it.

use scrip::audit::{Evidence, Finding, Rule};
use scrip::store::reconcile::{FindingQuery, ReportRow, RunChange};

use crate::bench::Bench;

/// Findings of all severities, in the order they might arise.
const RULES: [Rule; 8] = [Rule::B5, Rule::A4, Rule::A1, Rule::B5, Rule::A4, Rule::B7, Rule::A1, Rule::A8];

fn finding(rule: Rule, number: i64) -> Finding {
    Finding::new(rule, Evidence::new([("number", number.into())]))
}

async fn found(bench: &Bench) -> i64 {
    let run = bench.begin().await;
    let findings: Vec<_> = RULES.iter().zip(0..).map(|(rule, number)| finding(*rule, number)).collect();
    bench.store.add_findings(run, 0, &findings[..3]).await.unwrap();
    bench.store.add_findings(run, 3, &findings[3..]).await.unwrap();
    // A try whose answer was lost is repeated.
    bench.store.add_findings(run, 3, &findings[3..]).await.unwrap();
    let other = bench.begin().await;
    bench.store.add_findings(other, 0, &[finding(Rule::A2, 99)]).await.unwrap();
    run.run_id
}

/// All findings of a query, two at a time, as rule and number.
async fn listed(bench: &Bench, query: &FindingQuery) -> Vec<(Rule, i64)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let from = after
            .as_ref()
            .map(|(rank, rule, number): &(i16, scrip::ledger::Text, i64)| (*rank, &**rule, *number));
        let page = bench.store.findings(query, from, 2).await.unwrap();
        let Some(last) = page.last() else { return all };
        assert!(page.len() <= 2);
        after = Some(last.place.clone());
        for row in page {
            assert_eq!(
                (row.place.1.as_ref(), row.finding.severity),
                (row.finding.rule.as_str(), row.finding.rule.severity())
            );
            assert_eq!(row.finding.evidence.number("number"), Some(row.place.2.into()));
            all.push((row.finding.rule, row.place.2));
        }
    }
}

pub(crate) async fn findings_are_listed_gravest_first_and_page_to_their_end(bench: &mut Bench) {
    let run_id = found(bench).await;
    let all = listed(bench, &FindingQuery { run_id, ..FindingQuery::default() }).await;
    let expected = [
        (Rule::A1, 2),
        (Rule::A1, 6),
        (Rule::B7, 5),
        (Rule::A4, 1),
        (Rule::A4, 4),
        (Rule::A8, 7),
        (Rule::B5, 0),
        (Rule::B5, 3),
    ];
    assert_eq!(all, expected);
}

pub(crate) async fn findings_are_filtered_by_rule_and_severity(bench: &mut Bench) {
    let run_id = found(bench).await;
    let query = |rule: Option<&str>, severity: Option<&str>| FindingQuery {
        run_id,
        rule: rule.map(Into::into),
        severity: severity.map(Into::into),
    };
    assert_eq!(listed(bench, &query(Some("A1"), None)).await, [(Rule::A1, 2), (Rule::A1, 6)]);
    assert_eq!(listed(bench, &query(Some("B5"), None)).await, [(Rule::B5, 0), (Rule::B5, 3)]);
    let low = [(Rule::A8, 7), (Rule::B5, 0), (Rule::B5, 3)];
    assert_eq!(listed(bench, &query(None, Some("LOW"))).await, low);
    assert_eq!(listed(bench, &query(Some("A8"), Some("LOW"))).await, [(Rule::A8, 7)]);
    for nothing in [(Some("A1"), Some("LOW")), (Some("A2"), None), (None, Some("DIRE")), (Some("zz"), None)] {
        assert_eq!(listed(bench, &query(nothing.0, nothing.1)).await, [], "{nothing:?}");
    }
}

pub(crate) async fn a_finding_is_read_back_as_it_was_found(bench: &mut Bench) {
    let run = bench.begin().await;
    let figures = Evidence::new([
        ("billed_nano_usd", i64::MIN.into()),
        ("total_nano_usd", (i128::from(i64::MAX) * 1_000).into()),
        ("day", "2026-02-01".into()),
        ("request_ids", vec!["r\"1\\".into(), "字".into()].into()),
    ]);
    let whole = Finding {
        account_id: Some(3),
        workspace: Some("w'1".into()),
        user_id: Some(7),
        task_id: Some("t".into()),
        online_task_id: Some("r".into()),
        app_name: Some("fal-ai/flux".into()),
        ..Finding::new(Rule::B1, figures)
    };
    let bare = Finding::new(Rule::B4, Evidence::default());
    bench.store.add_findings(run, 0, &[whole.clone(), bare.clone()]).await.unwrap();
    let query = FindingQuery { run_id: run.run_id, ..FindingQuery::default() };
    let read = bench.store.findings(&query, None, 9).await.unwrap();
    assert_eq!(read.into_iter().map(|row| row.finding).collect::<Vec<_>>(), [bare, whole]);
}

pub(crate) async fn rows_of_the_report_page_by_layer_and_number(bench: &mut Bench) {
    let run = bench.begin().await;
    let rows = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    bench.store.add_rows(run, 2, 0, &rows(&["c", "d"])).await.unwrap();
    bench.store.add_rows(run, 1, 0, &rows(&["a"])).await.unwrap();
    bench.store.add_rows(run, 2, 2, &rows(&["e"])).await.unwrap();
    let row = |layer, number, content: &str| ReportRow { layer, number, content: content.to_owned() };
    let run = run.run_id;
    let first = bench.store.rows(run, (0, 0), 2).await.unwrap();
    assert_eq!(first, [row(1, 0, "a"), row(2, 0, "c")]);
    assert_eq!(bench.store.rows(run, (2, 0), 9).await.unwrap(), [row(2, 1, "d"), row(2, 2, "e")]);
    assert_eq!(bench.store.rows(run, (2, 2), 9).await.unwrap(), []);
}

pub(crate) async fn a_run_that_judges_anew_has_found_nothing(bench: &mut Bench) {
    let many: Vec<_> = (0..4_100).map(|number| finding(Rule::A1, number)).collect();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let turn = bench.begin().await;
        bench.store.add_findings(turn, 0, &many).await.unwrap();
        bench.store.add_rows(turn, 3, 0, &["{}".to_owned()]).await.unwrap();
        ids.push(turn.run_id);
    }
    let (run, other) = (ids[0], ids[1]);
    let turn = bench.take_up(run).await;
    let told = RunChange {
        findings: Some([4_100, 0, 0]),
        summary: Some("{}".into()),
        detail: Some("[]".into()),
        ..RunChange::default()
    };
    bench.store.update_run(turn, &told).await.unwrap();
    assert_eq!(bench.store.detail(run).await.unwrap().as_deref(), Some("[]"));
    bench.store.clear_results(turn).await.unwrap();
    assert_eq!(bench.store.detail(run).await.unwrap().as_deref(), Some(""));
    let query = |run_id| FindingQuery { run_id, ..FindingQuery::default() };
    assert_eq!(bench.store.findings(&query(run), None, 9).await.unwrap(), []);
    assert_eq!(bench.store.rows(run, (0, 0), 9).await.unwrap(), []);
    let stored = bench.store.run(run).await.unwrap().unwrap();
    assert_eq!((stored.findings, &*stored.summary), ([0; 3], ""));
    assert_eq!(bench.store.findings(&query(other), None, 9_000).await.unwrap().len(), 4_100);
    assert_eq!(bench.store.rows(other, (0, 0), 9).await.unwrap().len(), 1);
}
