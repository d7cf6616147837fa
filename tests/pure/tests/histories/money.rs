//! Money: what is drawn or given back is exactly the amount, never more than a purse holds, and never overflows.

use proptest::prelude::*;

use super::commands::{self, text};
use super::ledger::command::{Charge, Command};
use super::ledger::{Funding, Limits, Money, Submission};

fn purses() -> impl Strategy<Value = Money> {
    let amount = || prop_oneof![0..20_i64, Just(i64::MAX), 0..=i64::MAX];
    (amount(), amount()).prop_map(|(points, cash)| Money { points, cash })
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![0..40_i64, Just(i64::MAX), 0..=i64::MAX]
}

proptest! {
    #[test]
    fn a_draw_is_the_whole_amount_points_first_or_nothing(
        purses in purses(),
        amount in amount(),
        funding in prop::sample::select(Funding::ALL),
    ) {
        let usable = purses.usable(funding);
        let enough = i128::from(usable.points) + i128::from(usable.cash) >= i128::from(amount);
        match purses.draw(amount, funding) {
            None => prop_assert!(!enough),
            Some(drawn) => {
                prop_assert!(enough);
                prop_assert_eq!(drawn.points + drawn.cash, amount);
                prop_assert!(drawn.points >= 0 && drawn.cash >= 0);
                prop_assert!(usable.checked_sub(drawn).is_some());
                prop_assert!(drawn.cash == 0 || drawn.points == usable.points, "cash only when the points are gone");
            }
        }
    }

    #[test]
    fn what_goes_back_in_parts_is_what_was_drawn(
        purses in purses(),
        amount in 0..40_i64,
        parts in prop::collection::vec(1..10_i64, 0..20),
    ) {
        let Some(drawn) = purses.draw(amount, Funding::PointsThenCash) else { return Ok(()) };
        let mut left = drawn;
        for part in parts {
            match left.give_back(part) {
                Some(given) => {
                    prop_assert_eq!(given.points + given.cash, part);
                    prop_assert!(given.points == 0 || given.cash == left.cash, "points only when the cash is back");
                    left = left.checked_sub(given).expect("no more than was drawn");
                }
                None => prop_assert!(part > left.points + left.cash),
            }
        }
        let rest = left.give_back(left.total()).expect("all that is left");
        prop_assert_eq!(rest, left);
    }

    #[test]
    fn any_text_is_either_refused_or_fits_the_tables(
        words in prop::collection::vec(prop_oneof!["[a-z]{0,300}", "[a-z]{0,90}", ".{0,90}"], 5),
        request_id in prop_oneof!["[a-z]{0,300}", ".{0,90}"],
        input in prop_oneof![3 => Just(String::new()), 1 => ".{0,20}", 1 => Just("{\"a\":[1,2.5e3]}".to_owned())],
    ) {
        let charge = Charge {
            task_id: text(&words[0]),
            app_name: text(&words[1]),
            task_type: text(&words[2]),
            title: text(&words[3]),
            deployment_uuid: text(&words[4]),
            input_params: text(&input),
            ..commands::charge("t", 0)
        };
        let widths = [100, 150, 100, 255, 255, 255];
        let all: Vec<&String> = words.iter().chain([&request_id]).collect();
        let fits = all.iter().zip(widths).all(|(word, width)| word.chars().count() <= width);
        let accepted = Submission::new(Command::Charge(charge), &request_id, &text("tests"), &Limits::default());
        if accepted.is_ok() {
            prop_assert!(fits, "wider than its column");
            prop_assert!(all.iter().all(|word| !word.contains('\0')));
            prop_assert!(!words[0].is_empty());
        } else {
            let plain = all.iter().all(|word| word.chars().all(|char| char.is_ascii_lowercase()));
            let json = input.is_empty() || input.starts_with('{');
            prop_assert!(!plain || !fits || !json || words[0].is_empty(), "refused without a reason");
        }
    }
}
