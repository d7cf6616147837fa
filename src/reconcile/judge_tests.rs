use super::*;

fn account(account_id: i64, workspace: &str, fetch: Fetch) -> audit::Account {
    audit::Account {
        account_id,
        name: format!("account {account_id}").into(),
        workspace: workspace.into(),
        key_ids: vec![],
        selected: true,
        balance: None,
        fetch,
        usage: None,
    }
}

fn event(account_id: i64, request_id: &str, cost: i64) -> Event {
    Event {
        account_id,
        request_id: request_id.into(),
        endpoint_id: "m".into(),
        time: audit::Micros(5),
        cost_nano_usd: cost,
        units_nano: None,
    }
}

#[test]
fn an_event_counts_for_whoever_asks_for_its_workspace_now() {
    let accounts = [
        account(1, "w", Fetch::NotAsked),
        account(2, "w", Fetch::Complete),
        account(3, "v", Fetch::NotAsked),
    ];
    let mut sources = Sources::new(&accounts);
    let taken = sources.take(vec![event(1, "a", 1), event(2, "b", 1), event(3, "c", 1)]);
    assert_eq!(taken.iter().map(|event| event.account_id).collect::<Vec<_>>(), [2, 2, 3]);
}

#[test]
fn an_event_kept_under_two_names_of_its_workspace_is_one_and_two_charges_of_a_request_are_two() {
    let accounts = [account(1, "w", Fetch::NotAsked), account(2, "w", Fetch::Complete)];
    let mut sources = Sources::new(&accounts);
    let mut taken = sources.take(vec![event(1, "a", 1), event(2, "a", 1)]);
    // The pages of a stream may part a request.
    taken.extend(sources.take(vec![event(2, "a", 2), event(1, "a", 2), event(2, "b", 1)]));
    assert_eq!(taken, [event(2, "a", 1), event(2, "a", 2), event(2, "b", 1)]);
}

#[test]
fn quarters_add_up_to_days_of_one_user_each() {
    let hour = 3_600_000_000;
    let settings = Settings::default();
    let days = settings.days(audit::Micros(240 * hour), audit::Micros(264 * hour)).expect("days");
    let quarter = |user_id, at: i64, consumed| Quarter {
        user_id,
        start: Micros(at * hour),
        consumed,
        refunded: 1,
        credited: 0,
    };
    let mut day = None;
    let rows = [quarter(7, 240, 5), quarter(7, 263, 6), quarter(7, 264, 7), quarter(8, 264, 8)];
    let mut whole: Vec<UserDay> = rows.iter().filter_map(|row| add(&mut day, row, &days)).collect();
    whole.extend(day);
    let seen: Vec<_> = whole.iter().map(|day| (day.user_id, day.day.0, day.consumed, day.refunded)).collect();
    assert_eq!(seen, [(7, 10, 11, 2), (7, 11, 7, 1), (8, 11, 8, 1)]);
}

#[test]
fn what_verify_found_is_told_of_its_user() {
    let found = |key: &str| {
        of_verify(&engine::Disagreement {
            table: "ts_users",
            key: key.to_owned(),
            what: "points_balance",
            expected: "1".to_owned(),
            found: "2".to_owned(),
        })
    };
    assert_eq!(found("user 7 seq 3").user_id, Some(7));
    assert_eq!(found("task t1").user_id, None);
}
