use super::*;

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
