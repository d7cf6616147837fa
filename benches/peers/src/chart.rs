//! Charts as SVG: bars, in words and colours that are read on white and on black.

use std::fmt::Write;

use crate::figures::{Figure, Spread, Target, Value};
use crate::growth::Measured;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 380.0;
const BAR: f64 = 16.0;
const LINE: f64 = 26.0;
const OURS: &str = "#2f7de1";
const THEIRS: &str = "#9aa4b2";
const MISSED: &str = "#d1603d";

/// How far each ratio is from its target: 1 is the target, whichever way it is to be met.
pub fn ratios(figures: &[Figure]) -> String {
    let bars = figures.iter().filter_map(|figure| {
        let median = figure.spread().median;
        let reached = match figure.target {
            Target::AtLeast(target) => median / target,
            Target::AtMost(target) => target / median,
            Target::Reported => return None,
        };
        let colour = if figure.is_met()? { OURS } else { MISSED };
        let label = format!("{} {}", figure.number, figure.name);
        Some(Bar { label, length: reached.min(4.0), text: format!("{reached:.2} × the target"), colour })
    });
    draw(
        "Measured against the targets (1 is the target; longer is better)",
        &bars.collect::<Vec<_>>(),
        Some(1.0),
    )
}

/// Charges, pairs or calls a second of both sides of every ratio.
pub fn throughput(figures: &[Figure]) -> String {
    let mut bars = Vec::new();
    for figure in figures.iter().filter(|figure| figure.unit.ends_with("/s")) {
        let Value::Ratio { ours, theirs } = &figure.value else { continue };
        let (ours, theirs) = (Spread::of(ours).median, Spread::of(theirs).median);
        let label = format!("{} {}", figure.number, figure.name);
        let bar =
            |label: String, length: f64, colour| Bar { label, length, text: format!("{length:.0}"), colour };
        bars.push(bar(label, ours, OURS));
        bars.push(bar(String::new(), theirs, THEIRS));
    }
    draw("A second: scrip (blue), and what it is compared with (grey)", &bars, None)
}

/// Charges a second at each point of every curve.
pub fn growth(points: &[Measured]) -> String {
    let bar = |point: &Measured| {
        let rate = point.spread().median;
        let label = format!("{}: {} {}", point.store, point.at, point.curve);
        Bar { label, length: rate, text: format!("{rate:.0}"), colour: OURS }
    };
    let bars: Vec<Bar> = points.iter().map(bar).collect();
    draw("Charges a second with what grows (1,024 in flight, one charge a call unless said)", &bars, None)
}

struct Bar {
    label: String,
    length: f64,
    text: String,
    colour: &'static str,
}

fn draw(title: &str, bars: &[Bar], mark: Option<f64>) -> String {
    let longest =
        bars.iter().map(|bar| bar.length).fold(mark.unwrap_or(0.0), f64::max).max(f64::MIN_POSITIVE);
    let scale = (WIDTH - LABELS - 130.0) / longest;
    let height = 44.0 + LINE * bars.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"14\" font-weight=\"600\" fill=\"#1b2430\">{}</text>\n",
        escape(title)
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = 38.0 + LINE * index as f64;
        let (length, text_y) = ((bar.length * scale).max(1.0), y + BAR - 4.0);
        let end = LABELS + length + 6.0;
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\" fill=\"#1b2430\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{}\"/>\
             <text x=\"{end:.1}\" y=\"{text_y}\" fill=\"#4a5565\">{}</text>",
            LABELS - 8.0,
            escape(&bar.label),
            bar.colour,
            escape(&bar.text)
        )
        .ok();
    }
    if let Some(mark) = mark {
        let x = LABELS + mark * scale;
        writeln!(svg, "<line x1=\"{x:.1}\" y1=\"32\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"#1b2430\" stroke-dasharray=\"3 3\"/>").ok();
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_has_a_colour_of_its_own() {
        let figure = Figure::ratio("1", "a < b", (&[1.0], &[2.0]), "charges/s", Target::AtLeast(1.0));
        let svg = ratios(&[figure]);
        assert!(
            svg.contains(MISSED) && svg.contains("a &lt; b") && svg.contains("0.50 × the target"),
            "{svg}"
        );
    }
}
