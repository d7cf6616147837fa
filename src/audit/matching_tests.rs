use super::super::rules::sample;
use super::*;

/// What a task was billed and in how many events, and what a stray was.
type Billed = (String, i128, u64);

/// Tasks and events as `(task, its request ids)` and `(request, cost)`; what each task was billed, then strays.
fn merge(tasks: &[(&str, &[&str])], events: &[(&str, i64)]) -> (Vec<Billed>, Vec<(String, i128)>) {
    let mut matcher = Matcher::new();
    let scope = sample::scope();
    let mut tasks = tasks.iter().map(|(task_id, ids)| {
        let attempts: Vec<_> = ids.iter().map(|id| (*id, "k1")).collect();
        Task { task_id: (*task_id).into(), attempts: sample::attempts(&attempts), ..sample::task() }
    });
    let mut events = events.iter().map(|(request_id, cost)| (0, sample::event(request_id, *cost)));
    let mut settled = Vec::new();
    loop {
        match matcher.need() {
            Need::Task => matcher.task(tasks.next()).expect("in order"),
            Need::Event => matcher.event(events.next(), true).expect("in order"),
            Need::Nothing => break,
        }
        matcher.advance(&scope, &mut settled);
    }
    assert!(matcher.has_ended() && matcher.open.is_empty() && matcher.waiting.is_empty());
    let (mut billed, mut strays) = (Vec::new(), Vec::new());
    for one in settled {
        match one {
            Settled::Task(task, billing) => {
                billed.push((task.task_id.to_string(), billing.cost, billing.events))
            }
            Settled::Stray(billing) => strays.push((billing.requests[0].to_string(), billing.cost)),
        }
    }
    billed.sort();
    (billed, strays)
}

fn billed(rows: &[(&str, i128, u64)]) -> Vec<Billed> {
    rows.iter().map(|(id, cost, events)| ((*id).to_owned(), *cost, *events)).collect()
}

#[test]
fn events_of_any_attempt_are_the_tasks_and_several_of_one_request_are_summed() {
    let tasks: &[(&str, &[&str])] =
        &[("none", &[]), ("two", &["a", "d"]), ("one", &["b"]), ("late", &["z", "c"])];
    let (tasks, strays) = merge(tasks, &[("a", 1), ("b", 2), ("b", 3), ("d", 4), ("z", 5)]);
    assert_eq!(tasks, billed(&[("late", 5, 1), ("none", 0, 0), ("one", 5, 2), ("two", 5, 2)]));
    assert_eq!(strays, []);
}

#[test]
fn a_request_of_no_task_is_a_stray_whether_it_comes_first_last_or_between() {
    let (tasks, strays) = merge(&[("t", &["m"])], &[("", 1), ("a", 2), ("m", 3), ("n", 4), ("n", 5)]);
    assert_eq!(tasks, billed(&[("t", 3, 1)]));
    let strays: Vec<_> = strays.iter().map(|(id, cost)| (&**id, *cost)).collect();
    assert_eq!(strays, [("", 1), ("a", 2), ("n", 9)]);
    assert_eq!(merge(&[], &[("a", 1)]).1.len(), 1);
    assert_eq!(merge(&[("t", &["m"])], &[]).0, billed(&[("t", 0, 0)]));
}

#[test]
fn a_request_that_two_tasks_claim_goes_to_the_first_of_them_once() {
    let (tasks, strays) = merge(&[("t2", &["a", "m"]), ("t1", &["b", "m"])], &[("m", 7)]);
    assert_eq!(tasks, billed(&[("t1", 7, 1), ("t2", 0, 0)]));
    assert_eq!(strays, []);
}

#[test]
fn rows_out_of_order_or_unasked_for_are_refused() {
    let mut matcher = Matcher::new();
    assert_eq!(matcher.event(None, true), Ok(()));
    assert_eq!(matcher.event(None, true), Err(Disorder::NotNeeded));
    let task = sample::task();
    assert_eq!(matcher.task(Some(task.clone())), Ok(()));
    assert_eq!(matcher.task(Some(task.clone())), Err(Disorder::NotNeeded));
    matcher.advance(&sample::scope(), &mut Vec::new());
    assert_eq!(matcher.task(Some(task)), Err(Disorder::Task { task_id: "t1".into() }));
    let mut matcher = Matcher::new();
    assert_eq!(matcher.event(Some((0, sample::event("b", 1))), false), Ok(()));
    assert_eq!(matcher.need(), Need::Task);
    let before = matcher.event(Some((0, sample::event("a", 1))), true);
    assert_eq!(before, Err(Disorder::Event { request_id: "a".into() }));
}
