//! Charts as SVG. Along the page they are measured in shares of its width and across in pixels, so that bars stretch with
//! the page and texts keep their size; all of it in integers.

use super::super::figures;
use super::Html;

/// Of a chart's width.
const WHOLE: i128 = 10_000;

/// Of a chart's width, what bars may take; their figures stand in the rest, on a phone as well.
const TRACK: i128 = 6_200;

/// Pixels of a bar with its label above it, and of the bar.
const BAR_STEP: usize = 38;
const BAR_TOP: usize = 20;

/// What is there is seen: of a chart's width, the least length of a bar.
const SLIVER: i128 = 40;

/// Pixels of a column chart: of the plot, above it, and below it.
const PLOT: i128 = 190;
const ABOVE: i128 = 14;
const BELOW: i128 = 24;

/// A column chart is made as if of this many columns at least: two would be walls.
const LEAST_COLUMNS: usize = 8;

/// A bar that grows from zero to one side.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: i128,
    /// What is printed at its end.
    pub(super) shown: String,
    pub(super) class: &'static str,
}

/// Bars one below another, from zero to the right, or to the left of it where they are negative.
pub(super) fn bars(page: &mut Html, title: &str, bars: &[Bar]) {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or_default().max(0);
    let least = bars.iter().map(|bar| bar.value).min().unwrap_or_default().min(0);
    let span = most.saturating_sub(least).max(1);
    let part = |amount: i128| share(amount, span).saturating_mul(TRACK) / WHOLE;
    let zero = part(least.saturating_neg());
    let height = bars.len().saturating_mul(BAR_STEP);
    open(page, "group", title, i128::try_from(height).unwrap_or_default());
    for (at, bar) in bars.iter().enumerate() {
        let top = at.saturating_mul(BAR_STEP);
        let (text, rect) = (top.saturating_add(14), top.saturating_add(BAR_TOP));
        let length = part(bar.value.saturating_abs()).max(if bar.value == 0 { 0 } else { SLIVER });
        let start = if bar.value < 0 {
            zero.saturating_sub(length).max(0)
        } else {
            zero.min(TRACK.saturating_sub(length))
        };
        page.put(format_args!("<g><title>")).text(&bar.label).raw(" ").text(&bar.shown);
        page.put(format_args!(
            "</title><rect class=\"track\" x=\"0\" y=\"{rect}\" width=\"{}\" height=\"10\" rx=\"3\"/>",
            percent(TRACK)
        ))
        .put(format_args!(
            "<rect class=\"{}\" x=\"{}\" y=\"{rect}\" width=\"{}\" height=\"10\" rx=\"3\"/>",
            bar.class,
            percent(start),
            percent(length)
        ))
        .put(format_args!("<text x=\"0\" y=\"{text}\">"))
        .text(&bar.label)
        .put(format_args!("</text><text class=\"end\" x=\"100%\" y=\"{}\">", rect.saturating_add(9)))
        .text(&bar.shown)
        .raw("</text>");
        if least < 0 && most > 0 {
            page.put(format_args!(
                "<line class=\"zero\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>",
                percent(zero),
                rect.saturating_sub(2),
                rect.saturating_add(12)
            ));
        }
        page.raw("</g>\n");
    }
    page.raw("</svg>\n");
}

/// Two amounts beside each other, such as a day's cost and revenue, in nano-USD.
pub(super) struct Pair {
    pub(super) label: String,
    pub(super) values: [i128; 2],
    /// Said when pointed at.
    pub(super) told: String,
}

/// Pairs of columns over an axis, each of a class of its own.
pub(super) fn columns(page: &mut Html, title: &str, pairs: &[Pair], classes: [&str; 2]) {
    let values = || pairs.iter().flat_map(|pair| pair.values);
    let step =
        step(values().max().unwrap_or_default().max(values().min().unwrap_or_default().saturating_neg()));
    let ticks =
        |value: i128| value.saturating_add(step.saturating_sub(1)).checked_div(step).unwrap_or_default();
    let up = ticks(values().max().unwrap_or_default().max(0)).max(1);
    let down = ticks(values().min().unwrap_or_default().min(0).saturating_neg());
    let span = up.saturating_add(down).saturating_mul(step).max(1);
    // Where an amount stands, in pixels from above.
    let top = up.saturating_mul(step);
    let y = |value: i128| {
        let below_top = top.saturating_sub(value).saturating_mul(PLOT);
        ABOVE.saturating_add(below_top.checked_div(span).unwrap_or_default())
    };
    // The amounts of the axis stand left of the chart, in the room that the style gives them.
    page.raw("<div class=\"plot\">");
    open(page, "img", title, ABOVE + PLOT + BELOW);
    for tick in down.saturating_neg()..=up {
        let amount = tick.saturating_mul(step);
        let at = y(amount);
        let class = if tick == 0 { "zero" } else { "grid" };
        page.put(format_args!("<line class=\"{class}\" x1=\"0\" x2=\"100%\" y1=\"{at}\" y2=\"{at}\"/>"))
            .put(format_args!("<text class=\"tick end\" x=\"-8\" y=\"{}\">", at.saturating_add(4)))
            .text(&figures::units(amount))
            .raw("</text>\n");
    }
    let slots = as_number(pairs.len().max(LEAST_COLUMNS));
    let slot = WHOLE.checked_div(slots).unwrap_or(1);
    let left = slots.saturating_sub(as_number(pairs.len())).saturating_mul(slot) / 2;
    let every = pairs.len().div_ceil(6).max(1);
    for (at, pair) in pairs.iter().enumerate() {
        let start = left.saturating_add(as_number(at).saturating_mul(slot));
        page.raw("<g><title>").text(&pair.told).raw("</title>");
        page.put(format_args!(
            "<rect class=\"touch\" x=\"{}\" y=\"{ABOVE}\" width=\"{}\" height=\"{PLOT}\"/>",
            percent(start),
            percent(slot)
        ));
        let width = slot.saturating_mul(38) / 100;
        for (value, (class, offset)) in pair.values.into_iter().zip(classes.into_iter().zip([10, 52])) {
            let (high, low) = (y(value.max(0)), y(value.min(0)));
            let height = low.saturating_sub(high).max(i128::from(value != 0));
            page.put(format_args!(
                "<rect class=\"{class}\" x=\"{}\" y=\"{high}\" width=\"{}\" height=\"{height}\" rx=\"1\"/>",
                percent(start.saturating_add(slot.saturating_mul(offset) / 100)),
                percent(width)
            ));
        }
        if at.is_multiple_of(every) {
            let middle = percent(start.saturating_add(slot / 2));
            let base = ABOVE + PLOT + 17;
            page.put(format_args!("<text class=\"tick mid\" x=\"{middle}\" y=\"{base}\">")).text(&pair.label);
            page.raw("</text>");
        }
        page.raw("</g>\n");
    }
    page.raw("</svg></div>\n");
}

/// `role`: `group` where the texts in it tell everything, `img` where a table beside it does.
fn open(page: &mut Html, role: &str, title: &str, height: i128) {
    page.put(format_args!("<svg role=\"{role}\" width=\"100%\" height=\"{height}\" aria-label=\""))
        .text(title);
    page.raw("\">\n");
}

fn as_number(count: usize) -> i128 {
    i128::try_from(count).unwrap_or_default()
}

/// Which part of a whole, in ten-thousandths of the chart's width.
fn share(part: i128, whole: i128) -> i128 {
    // A divisor that keeps the product within range loses nothing that can be seen.
    let shrink = part.checked_div(i128::MAX / WHOLE).unwrap_or_default().saturating_add(1);
    let (part, whole) = (part / shrink, (whole / shrink).max(1));
    part.saturating_mul(WHOLE).checked_div(whole).unwrap_or_default().clamp(0, WHOLE)
}

/// Ten-thousandths as SVG has them.
fn percent(share: i128) -> String {
    format!("{}.{:02}%", share / 100, share.rem_euclid(100))
}

/// The distance of the lines of an axis: 1, 2 or 5 and zeros, so that four of them at most reach the amount.
fn step(most: i128) -> i128 {
    let mut power = 1_i128;
    for _ in 0..36 {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if step.saturating_mul(4) >= most {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
    most.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_axis_are_round_and_reach_the_amount() {
        let cases = [(0, 1), (4, 1), (5, 2), (9, 5), (21, 10), (400, 100), (1_000_000_001, 500_000_000)];
        for (most, expected) in cases {
            assert_eq!(step(most), expected, "{most}");
        }
        assert!(step(i128::MAX) > 0);
    }

    #[test]
    fn shares_are_of_ten_thousand_whatever_the_amounts() {
        assert_eq!((share(1, 2), share(0, 1), share(3, 2)), (5_000, 0, 10_000));
        assert_eq!(share(i128::MAX / 2, i128::MAX), 5_000);
        assert_eq!(
            (percent(5_000), percent(7), percent(10_000)),
            ("50.00%".into(), "0.07%".into(), "100.00%".into())
        );
    }

    #[test]
    fn bars_of_any_amount_stay_within_the_chart() {
        for values in
            [vec![], vec![0], vec![i128::MAX, i128::MIN], vec![5, -3], vec![-3, -7], vec![1, 1_000_000]]
        {
            let mut page = Html::default();
            let bar = |value: &i128| Bar {
                label: "a<b".into(),
                value: *value,
                shown: value.to_string(),
                class: "cost",
            };
            bars(&mut page, "t", &values.iter().map(bar).collect::<Vec<_>>());
            let widths = page
                .0
                .split("width=\"")
                .skip(1)
                .filter_map(|rest| rest.split_once('%'))
                .map(|(width, _)| width);
            assert!(
                widths
                    .clone()
                    .all(|width| width.parse::<f32>().is_ok_and(|width| (0.0..=100.0).contains(&width))),
                "{}",
                page.0
            );
            assert!(!page.0.contains("x=\"-") && !page.0.contains("a<b"), "{}", page.0);
        }
    }

    #[test]
    fn columns_of_any_amount_stay_within_the_chart() {
        for values in [vec![], vec![[0, 0]], vec![[i128::MAX, i128::MIN]], vec![[5, -3]; 40]] {
            let mut page = Html::default();
            let pair = |values: &[i128; 2]| Pair { label: "d".into(), values: *values, told: "t".into() };
            columns(&mut page, "t", &values.iter().map(pair).collect::<Vec<_>>(), ["cost", "revenue"]);
            assert!(!page.0.replace("x=\"-8\"", "").contains("=\"-"), "{}", page.0);
            assert!(page.0.matches("<line").count() < 12, "{}", page.0);
        }
    }
}
