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

#[test]
fn a_task_waits_at_the_door_until_the_events_before_its_request_have_passed() {
    let mut matcher = Matcher::new();
    let task = Task { attempts: sample::attempts(&[("b", "k1")]), ..sample::task() };
    assert_eq!(matcher.task(Some(task)), Ok(()));
    for request_id in ["a", "a", "b"] {
        assert_eq!(matcher.need(), Need::Event, "{request_id}");
        assert_eq!(matcher.event(Some((0, sample::event(request_id, 1))), true), Ok(()));
        matcher.advance(&sample::scope(), &mut Vec::new());
    }
    assert_eq!(matcher.need(), Need::Task, "it is taken in with the first event that may be its own");
}

#[test]
fn a_bill_is_parted_by_workspace_and_model_and_summed_within() {
    let mut billing = Billing::default();
    for (workspace, model, time, cost) in [(1, "m", 3, 5), (0, "m", 9, 7), (1, "n", 2, 1), (1, "m", 1, 6)] {
        let mut one = Billing::default();
        one.add(workspace, &model.into(), Micros(time), 1, cost);
        billing.absorb(format!("r{time}").into(), one);
    }
    let part = |workspace, model: &str, events, cost| Part { workspace, model: model.into(), events, cost };
    assert_eq!(billing.parts, [part(0, "m", 1, 7), part(1, "m", 2, 11), part(1, "n", 1, 1)]);
    assert_eq!((billing.events, billing.cost, billing.last_time), (4, 19, Some(Micros(9))));
    assert_eq!(billing.requests.len(), 4);
}

#[test]
fn tasks_that_wait_share_the_names_that_they_have_in_common() {
    let mut matcher = Matcher::new();
    for task_id in ["t1", "t2"] {
        let attempts = sample::attempts(&[("a", "k1"), ("z", "k1")]);
        let task = Task { task_id: task_id.into(), attempts, ..sample::task() };
        matcher.task(Some(task)).expect("in order");
        if matcher.need() == Need::Event {
            matcher.event(Some((0, sample::event("b", 1))), true).expect("in order");
        }
        matcher.advance(&sample::scope(), &mut Vec::new());
    }
    let [one, other] = &matcher.open.values().map(|open| &open.task).collect::<Vec<_>>()[..] else {
        panic!("{:?}", matcher.open)
    };
    assert!(Text::ptr_eq(&one.app_name, &other.app_name) && Text::ptr_eq(&one.key_id, &other.key_id));
    assert!(Text::ptr_eq(&one.attempts[0].key_id, &other.attempts[1].key_id));
}

#[test]
fn a_request_of_another_period_that_no_task_has_leaves_nothing() {
    let mut matcher = Matcher::new();
    let mut settled = Vec::new();
    let late = Event { time: sample::scope().end, ..sample::event("a", 1) };
    matcher.task(None).expect("wanted");
    matcher.event(Some((0, late)), true).expect("wanted");
    matcher.advance(&sample::scope(), &mut settled);
    matcher.event(None, true).expect("wanted");
    matcher.advance(&sample::scope(), &mut settled);
    assert!(matcher.has_ended() && settled.is_empty(), "{settled:?}");
}
