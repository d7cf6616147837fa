//! The page of HTML.

use std::path::Path;

use scrip::audit::Language;
use scrip::report::{Format, Options};

use super::{options, print, sample};

#[test]
fn the_page_escapes_what_others_wrote_and_needs_nothing_from_elsewhere() {
    let mut world = sample::small();
    world.accounts[0].name = "\"><img src=x onerror=alert(1)>'&".into();
    let (report, findings) = world.audit();
    for language in Language::ALL {
        let page = print(&report, &findings, &options(Format::Html, *language));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/<wbr>script&gt;"), "a model's name is text");
        assert!(
            page.contains("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&amp;"),
            "so is an account's"
        );
        for forbidden in ["<script", "<img", "<link", "<iframe", "url(", "@import", "src=\"", "href="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(!page.replace("http://evil", "").contains("http://") && !page.contains("https://"));
        let tag = if *language == Language::Chinese { "zh-CN" } else { "en" };
        assert!(page.starts_with(&format!("<!DOCTYPE html>\n<html lang=\"{tag}\">")), "{tag}");
    }
}

/// Every element of the body that is opened is closed, in order.
fn assert_balanced(page: &str) {
    let mut open = Vec::new();
    let body = page.split_once("<body>").and_then(|(_, body)| body.split_once("</body>")).expect("a body").0;
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split(' ').next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') && !["br", "wbr"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_has_the_tables_the_charts_and_the_findings() {
    let worlds = [("small", sample::small()), ("month", sample::month()), ("empty", sample::World::empty(1))];
    for (name, world) in worlds {
        let (report, findings) = world.audit();
        for language in Language::ALL {
            let page = print(&report, &findings, &options(Format::Html, *language));
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audit-{name}.{language}.html"));
            std::fs::write(&path, &page).expect("a writable target directory");
            let charts = if report.totals.sums.tasks > 0 { 4 } else { 0 };
            assert_eq!(page.matches("<svg").count(), charts, "{name}");
            let shown = findings.len().min(Options::default().max_findings);
            assert_eq!(page.matches("<li>").count(), shown, "{name}");
            assert_eq!(page.matches("<section").count(), 5, "{name}");
        }
    }
}

#[test]
fn every_element_of_the_page_is_closed() {
    let (report, findings) = sample::small().audit();
    assert_balanced(&print(&report, &findings, &options(Format::Html, Language::English)));
}

#[test]
fn a_long_period_is_drawn_by_weeks() {
    let mut world = sample::small();
    world.scope.end = world.scope.start.plus(200 * sample::DAY);
    world.scope.now = world.scope.end;
    world.scope.events_end = world.scope.end;
    let (report, findings) = world.audit();
    let page = print(&report, &findings, &options(Format::Html, Language::English));
    assert!(page.contains("in each seven days"), "{page}");
    assert_eq!(page.matches("class=\"touch\"").count(), 200_usize.div_ceil(7));
}
