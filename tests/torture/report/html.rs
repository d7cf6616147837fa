//! The page as HTML, with nothing fetched from anywhere: throughput over time against the faults, then the tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Report, Verdict, middle_and_most};

const WIDTH: f64 = 1_080.0;
const LEFT: f64 = 130.0;
const CHART: f64 = 200.0;
const LANE: f64 = 18.0;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;\
color:#1a1d21;background:#fff}h1 span{padding:.1em .5em;border-radius:.3em;color:#fff}.pass{background:#1a7f4b}\
.violations{background:#b3261e}.unknown{background:#a65f00}table{border-collapse:collapse;margin:1rem 0}\
td,th{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid #e3e6ea}td:first-child,\
th:first-child{text-align:left}code,pre{font:13px/1.4 ui-monospace,monospace;background:#f4f6f8;padding:.15em .35em;\
border-radius:.25em;overflow-wrap:anywhere}pre{padding:.8em}svg{width:100%;height:auto}svg text{font:12px \
system-ui,sans-serif;fill:#555}li{margin:.2rem 0}@media(prefers-color-scheme:dark){body{color:#e6e8ea;\
background:#15181b}td,th{border-color:#33383d}code,pre{background:#23282d}svg text{fill:#aaa}}";

pub(super) fn render(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut page);
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn write(report: &Report, page: &mut String) -> std::fmt::Result {
    let verdict = report.verdict().word();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Torture: {verdict}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>Torture <span class=\"{verdict}\">{verdict}</span></h1><p>Seed {}. Run again with</p><pre>{}</pre><ul>",
        report.seed,
        escaped(&report.command)
    )?;
    for (name, value) in &report.facts {
        write!(page, "<li>{}: {}</li>", escaped(name), escaped(value))?;
    }
    page.push_str("</ul>");
    findings(report, page)?;
    page.push_str("<h2>Acknowledged writes a second, and the faults</h2>");
    timeline(report, page)?;
    calls(report, page)?;
    faults(report, page)?;
    page.push_str("</body></html>\n");
    Ok(())
}

fn findings(report: &Report, page: &mut String) -> std::fmt::Result {
    if report.verdict() == Verdict::Pass {
        return page.write_str("<p>No violation was found, and nothing is unknown.</p>");
    }
    page.push_str("<h2>What was found</h2><ul>");
    for (rule, count, told) in report.findings.rules() {
        write!(page, "<li><b>{rule}</b>: {count}<ul>")?;
        for what in told {
            let what: String = what.chars().take(1_500).collect();
            write!(page, "<li><code>{}</code></li>", escaped(&what))?;
        }
        page.push_str("</ul></li>");
    }
    for doubt in &report.doubts {
        write!(page, "<li>not known: {}</li>", escaped(doubt))?;
    }
    page.push_str("</ul>");
    Ok(())
}

fn timeline(report: &Report, page: &mut String) -> std::fmt::Result {
    let over = (report.over as f64 / 1e6).max(1.0);
    let x = |seconds: f64| LEFT + seconds / over * (WIDTH - LEFT - 10.0);
    let buckets = 270_usize;
    let mut counts = vec![0_u32; buckets];
    for &at in report.acknowledged.iter().filter(|&&at| at < report.over) {
        counts[(at as f64 / 1e6 / over * buckets as f64) as usize] += 1;
    }
    let width = over / buckets as f64;
    let rates: Vec<f64> = counts.iter().map(|&count| f64::from(count) / width).collect();
    let most = rates.iter().copied().fold(1.0, f64::max);
    let mut lanes: BTreeMap<&str, Vec<(f64, f64, &str)>> = BTreeMap::new();
    for window in &report.windows {
        let (begun, healed) = (window.begun as f64 / 1e6, window.healed as f64 / 1e6);
        lanes.entry(window.fault.name()).or_default().push((begun, healed, &window.remark));
    }
    let height = CHART + 30.0 + lanes.len() as f64 * LANE + 10.0;
    write!(page, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"timeline\">")?;
    for (row, windows) in lanes.values().enumerate() {
        let y = CHART + 30.0 + row as f64 * LANE;
        for (begun, healed, remark) in windows {
            let (from, to) = (x(*begun), x(*healed).max(x(*begun) + 2.0));
            write!(
                page,
                "<rect x=\"{from:.1}\" y=\"4\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#b3261e\" opacity=\"0.07\"/>\
                 <rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"#b3261e\" \
                 opacity=\"0.75\"><title>{begun:.1} s to {healed:.1} s: {}</title></rect>",
                to - from,
                CHART - 4.0,
                to - from,
                LANE - 5.0,
                escaped(remark)
            )?;
        }
    }
    for (row, name) in lanes.keys().enumerate() {
        let y = CHART + 30.0 + row as f64 * LANE + LANE - 7.0;
        write!(page, "<text x=\"0\" y=\"{y:.1}\">{name}</text>")?;
    }
    let y = |rate: f64| CHART - rate / most * (CHART - 14.0);
    write!(page, "<path fill=\"#2b6cb0\" opacity=\"0.85\" d=\"M{:.1},{CHART}", x(0.0))?;
    for (at, rate) in rates.iter().enumerate() {
        let (from, to) = (x(at as f64 * width), x((at + 1) as f64 * width));
        write!(page, "L{from:.1},{0:.1}L{to:.1},{0:.1}", y(*rate))?;
    }
    write!(page, "L{:.1},{CHART}Z\"/>", x(over))?;
    write!(
        page,
        "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{CHART}\" y2=\"{CHART}\" stroke=\"#888\"/>\
         <text x=\"0\" y=\"18\">{most:.0} a second</text><text x=\"0\" y=\"{CHART}\">0</text>",
        x(over)
    )?;
    for tick in 0..=6 {
        let at = over * f64::from(tick) / 6.0;
        write!(page, "<text x=\"{:.1}\" y=\"{}\">{at:.0} s</text>", x(at) - 12.0, CHART + 18.0)?;
    }
    page.push_str("</svg>");
    Ok(())
}

fn calls(report: &Report, page: &mut String) -> std::fmt::Result {
    page.push_str("<h2>Calls</h2><table><tr><th>kind<th>sent<th>done<th>refused<th>unknown at first</tr>");
    for (kind, tally) in &report.tallies {
        write!(
            page,
            "<tr><td>{kind}<td>{}<td>{}<td>{}<td>{}</tr>",
            tally.sent, tally.done, tally.refused, tally.unknown
        )?;
    }
    let (unknown, left) = report.unknown;
    write!(
        page,
        "</table><p>Unknown at the end of the load: {unknown}. Sent again with the same keys, with everything \
         healed: {left} are left.</p>"
    )
}

fn faults(report: &Report, page: &mut String) -> std::fmt::Result {
    page.push_str(
        "<h2>Faults</h2><p>Recovery: from the moment a fault is healed to the first acknowledged write, without the \
         times in which others kept everybody from writing.</p>\
         <table><tr><th>fault<th>times<th>recovery p50<th>recovery max</tr>",
    );
    let cells = |times: &[f64]| match middle_and_most(times) {
        Some((middle, most)) => format!("<td>{middle:.3} s<td>{most:.3} s"),
        None => "<td>–<td>–".to_owned(),
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for window in &report.windows {
        *counts.entry(window.fault.name()).or_default() += 1;
    }
    for (name, count) in &counts {
        let times = report.recoveries.get(name).map(Vec::as_slice).unwrap_or_default();
        write!(page, "<tr><td>{name}<td>{count}{}</tr>", cells(times))?;
    }
    write!(page, "<tr><td>all<td>{}{}</tr></table>", report.windows.len(), cells(&report.all_recoveries()))?;
    if !report.not_run.is_empty() {
        page.push_str("<p>Did not run:</p><ul>");
        for (name, why) in &report.not_run {
            write!(page, "<li>{}: {}</li>", escaped(name), escaped(why))?;
        }
        page.push_str("</ul>");
    }
    Ok(())
}
