//! The doors between the rooms of `src/` (the table in ARCHITECTURE.md), held by reading the sources.
//!
//! The compiler cannot refuse `sqlx` in one module of a crate and allow it in another, so this test does: it
//! blanks comments and strings, gathers every path that is left (`use` trees spelled out), and asks each rule
//! whether that path may be named in that file.

use std::path::{Path, PathBuf};

/// A path of the source (`tonic::Status`), and where it is written.
#[derive(Debug, PartialEq, Eq)]
struct Mention {
    line: usize,
    segments: Vec<String>,
    /// Whether a `use` says it: then the first segment is a crate or a room, never a type in scope.
    imported: bool,
}

impl Mention {
    fn names(&self, crates: &[&str]) -> bool {
        self.segments.iter().any(|segment| belongs_to(segment, crates))
    }

    fn begins_with(&self, path: &[&str]) -> bool {
        self.segments.len() >= path.len() && path.iter().zip(&self.segments).all(|(want, have)| want == have)
    }

    /// Reaches into one of these rooms of the crate, whichever way the crate is called.
    fn enters(&self, rooms: &[&str]) -> bool {
        matches!(self.segments[0].as_str(), "crate" | "scrip")
            && self.segments.get(1).is_some_and(|room| rooms.contains(&room.as_str()))
    }

    /// Spells a path that climbs out of its file's room with `crate`. A module inside the file is one step
    /// deeper than the file, so there the climb may end within the room: no room has a child named like a room.
    fn rooted_in_the_crate(mut self, file: &str) -> Mention {
        let steps = self.segments.iter().take_while(|segment| *segment == "super").count();
        if steps > 0 && steps >= depth_of(file) {
            self.segments.splice(..steps, ["crate".to_owned()]);
        }
        self
    }
}

/// A crate's own name or one of its family: `tokio_util` is as little welcome as `tokio`.
fn belongs_to(segment: &str, crates: &[&str]) -> bool {
    crates
        .iter()
        .any(|name| segment == *name || segment.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
}

struct Rule {
    name: &'static str,
    /// The rooms that this rule binds; `Except` binds all others.
    rooms: Rooms,
    forbids: fn(&Mention) -> bool,
}

enum Rooms {
    Only(&'static [&'static str]),
    Except(&'static [&'static str]),
}

impl Rule {
    fn binds(&self, room: &str) -> bool {
        match self.rooms {
            Rooms::Only(rooms) => rooms.contains(&room),
            Rooms::Except(rooms) => !rooms.contains(&room),
        }
    }
}

const PURE: &[&str] = &["ledger", "keypool", "audit"];

const RULES: &[Rule] = &[
    Rule {
        name: "sqlx stays in store",
        rooms: Rooms::Except(&["store"]),
        forbids: |mention| mention.names(&["sqlx"]),
    },
    Rule {
        name: "tonic::Status is made in api and server only",
        rooms: Rooms::Except(&["api", "server"]),
        forbids: |mention| {
            mention.begins_with(&["tonic", "Status"])
                || (!mention.imported && mention.begins_with(&["Status"]) && mention.segments.len() > 1)
        },
    },
    Rule {
        name: "the pure rooms know no runtime, database, wire, log, clock or randomness",
        rooms: Rooms::Only(PURE),
        forbids: |mention| {
            mention.names(&["tokio", "sqlx", "tonic", "prost", "tracing", "SystemTime", "Instant", "rand"])
        },
    },
    Rule {
        name: "the pure rooms enter no room but pure ones",
        rooms: Rooms::Only(PURE),
        forbids: |mention| {
            mention.enters(&[
                "engine",
                "store",
                "fal",
                "vault",
                "reconcile",
                "report",
                "api",
                "server",
                "cli",
                "pb",
                "config",
                "telemetry",
                "meter",
                "admin",
                "clock",
            ])
        },
    },
    Rule {
        name: "ledger rests on no other room",
        rooms: Rooms::Only(&["ledger"]),
        forbids: |mention| mention.enters(&["keypool", "audit"]),
    },
    Rule {
        name: "audit rests on no other room",
        rooms: Rooms::Only(&["audit"]),
        forbids: |mention| mention.enters(&["ledger", "keypool"]),
    },
    Rule {
        name: "vault knows no runtime, database, wire, log, clock or randomness",
        rooms: Rooms::Only(&["vault"]),
        forbids: |mention| {
            mention.names(&[
                "tokio",
                "sqlx",
                "tonic",
                "prost",
                "tracing",
                "SystemTime",
                "Instant",
                "rand",
                "getrandom",
            ])
        },
    },
    Rule {
        name: "vault enters no room; it borrows ledger::Text and the pool's names of what is stored",
        rooms: Rooms::Only(&["vault"]),
        forbids: |mention| {
            matches!(mention.segments[0].as_str(), "crate" | "scrip")
                && !mention.enters(&["vault"])
                && !mention.begins_with(&["crate", "ledger", "Text"])
                && !mention.begins_with(&["crate", "keypool", "Purpose"])
                && !mention.begins_with(&["crate", "keypool", "Sealed"])
        },
    },
    Rule {
        name: "report rests on the audit alone, and knows no runtime, database or wire",
        rooms: Rooms::Only(&["report"]),
        forbids: |mention| {
            let elsewhere = matches!(mention.segments[0].as_str(), "crate" | "scrip")
                && mention.segments.get(1).is_some_and(|room| !matches!(room.as_str(), "audit" | "report"));
            elsewhere
                || mention.names(&[
                    "tokio",
                    "sqlx",
                    "tonic",
                    "prost",
                    "tracing",
                    "SystemTime",
                    "Instant",
                    "rand",
                ])
        },
    },
    Rule {
        name: "reconcile joins fal, audit, the stores' traits and the engine, and knows neither wire nor screen",
        rooms: Rooms::Only(&["reconcile"]),
        forbids: |mention| {
            mention.names(&["tonic", "prost"])
                || mention.enters(&["api", "server", "cli", "report", "config", "telemetry"])
                || mention.begins_with(&["crate", "store", "sqlite"])
                || mention.begins_with(&["crate", "store", "postgres"])
        },
    },
    Rule {
        name: "server reads tokens through the store's trait, borrows ledger::Micros, and enters neither engine nor API",
        rooms: Rooms::Only(&["server"]),
        forbids: |mention| {
            mention.enters(&[
                "engine",
                "keypool",
                "audit",
                "reconcile",
                "report",
                "api",
                "cli",
                "config",
                "fal",
                "vault",
            ]) || mention.begins_with(&["crate", "store", "sqlite"])
                || mention.begins_with(&["crate", "store", "postgres"])
                || mention.enters(&["ledger"]) && !mention.begins_with(&["crate", "ledger", "Micros"])
        },
    },
    Rule {
        name: "engine speaks to the store's traits and knows no wire",
        rooms: Rooms::Only(&["engine"]),
        forbids: |mention| mention.names(&["sqlx", "tonic", "prost"]),
    },
    Rule {
        name: "store and engine know nobody above them",
        rooms: Rooms::Only(&["store", "engine"]),
        forbids: |mention| mention.enters(&["api", "server", "cli", "reconcile", "report"]),
    },
    Rule {
        name: "store does not know the engine",
        rooms: Rooms::Only(&["store"]),
        forbids: |mention| mention.enters(&["engine"]),
    },
    Rule {
        name: "bugs are planted in engine and store alone",
        rooms: Rooms::Except(&["engine", "store", "mutants"]),
        forbids: |mention| mention.enters(&["mutants"]),
    },
    Rule {
        name: "reqwest stays in fal, and in telemetry for OTLP over HTTP",
        rooms: Rooms::Except(&["fal", "telemetry"]),
        forbids: |mention| mention.names(&["reqwest"]),
    },
    Rule {
        name: "OpenTelemetry and Prometheus stay in meter and telemetry",
        rooms: Rooms::Except(&["meter", "telemetry"]),
        forbids: |mention| mention.names(&["opentelemetry", "tracing_opentelemetry", "prometheus"]),
    },
    Rule {
        name: "meter enters no room, and knows no database or wire",
        rooms: Rooms::Only(&["meter"]),
        forbids: |mention| {
            matches!(mention.segments[0].as_str(), "crate" | "scrip") && !mention.enters(&["meter"])
                || mention.names(&["sqlx", "tonic", "prost"])
        },
    },
    Rule {
        name: "generated code (crate::pb) is for api, server, cli and bench",
        rooms: Rooms::Except(&["api", "server", "cli", "bench", "pb"]),
        forbids: |mention| {
            mention.enters(&["pb"]) || mention.begins_with(&["pb"]) && mention.segments.len() > 1
        },
    },
];

/// The rules that a file breaks, each with `file:line`.
fn offences(file: &str, source: &str) -> Vec<String> {
    let room = room_of(file);
    let mentions: Vec<Mention> =
        mentions(&blank(source)).into_iter().map(|mention| mention.rooted_in_the_crate(file)).collect();
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|rule| rule.binds(room)) {
        for mention in mentions.iter().filter(|mention| (rule.forbids)(mention)) {
            let offence =
                format!("src/{file}:{}: {} ({})", mention.line, rule.name, mention.segments.join("::"));
            // One tree of a `use` may offend by several of its leaves, one line may say the same twice.
            if !found.contains(&offence) {
                found.push(offence);
            }
        }
    }
    found
}

/// `store/sqlite/write.rs` and `store.rs` are both in `store`.
fn room_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// How many modules deep a file is: 1 for `store.rs` and `store/mod.rs`, 2 for `store/errors.rs`.
fn depth_of(file: &str) -> usize {
    let module = file.strip_suffix("/mod.rs").unwrap_or(file);
    module.split('/').count()
}

/// The source with comments and the insides of strings and characters turned into blanks, line for line: what
/// a message or a comment says is no import.
fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_block(&chars, at),
            '"' => end_of_string(&chars, at),
            '\'' => end_of_char(&chars, at),
            'r' if !at
                .checked_sub(1)
                .is_some_and(|before| is_word(chars[before]) && chars[before] != 'b') =>
            {
                end_of_raw_string(&chars, at)
            }
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |length| at + length)
}

/// Block comments nest.
fn end_of_block(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `'x'` and `'\''` are characters; `'a` without the second quote is a lifetime and stays.
fn end_of_char(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let rest = chars.get(at + 3..).unwrap_or_default();
            rest.iter().position(|&c| c == '\'').map_or(chars.len(), |length| at + 3 + length + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// `r"…"` and `r#"…"#`; `at` itself where the `r` begins something else, a raw identifier for one.
fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let mut end = at + 1 + hashes;
    if chars.get(end) != Some(&'"') {
        return at;
    }
    end += 1;
    while end < chars.len() {
        let closed = chars[end] == '"'
            && chars[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        end += 1;
        if closed {
            return end + hashes;
        }
    }
    chars.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word, `::`, or another character, with its line.
type Token = (usize, String);

fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push((index + 1, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Every path in the code. `use a::{b, c::D};` gives `a::b` and `a::c::D`, each with its own line.
fn mentions(code: &str) -> Vec<Mention> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // `use<'a>` is a bound, not an import.
        if tokens[at].1 == "use" && tokens.get(at + 1).is_some_and(|(_, token)| token != "<") {
            at = use_tree(&tokens, at + 1, &[], &mut found);
        } else if tokens[at].1.starts_with(is_word) {
            let line = tokens[at].0;
            let mut segments = vec![tokens[at].1.clone()];
            at += 1;
            while next_segment(&tokens, at) {
                segments.push(tokens[at + 1].1.clone());
                at += 2;
            }
            found.push(Mention { line, segments, imported: false });
        } else {
            at += 1;
        }
    }
    found
}

fn next_segment(tokens: &[Token], at: usize) -> bool {
    let is = |at: usize, test: fn(&str) -> bool| tokens.get(at).is_some_and(|(_, token)| test(token));
    is(at, |token| token == "::") && is(at + 1, |token| token.starts_with(is_word))
}

/// Reads one branch of a `use` tree and answers where it ended.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Mention>) -> usize {
    let mut segments = before.to_vec();
    let mut line = tokens.get(at).map_or(0, |(line, _)| *line);
    let mut whole = true;
    while let Some((here, token)) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                whole = false;
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                    at = use_tree(tokens, at, &segments, found);
                    // Past the comma; and past whatever else a source that is no Rust may hold here.
                    if tokens.get(at).is_some_and(|(_, token)| token != "}") {
                        at += 1;
                    }
                }
                at += 1;
            }
            "," | "}" | ";" => break,
            // The name it gets here is no path of its own.
            "as" => at += 2,
            "::" => at += 1,
            _ => {
                line = *here;
                segments.push(token.clone());
                at += 1;
            }
        }
    }
    if whole && segments.len() > before.len() {
        found.push(Mention { line, segments, imported: true });
    }
    at
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory).unwrap_or_else(|why| panic!("{}: {why}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_room_keeps_its_doors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(files.iter().any(|file| file.ends_with("lib.rs")), "no sources in {}", root.display());
    let mut found = Vec::new();
    for path in files {
        let source = std::fs::read_to_string(&path).expect("a source file");
        let file = path.strip_prefix(&root).expect("under src").to_str().expect("a printable path");
        found.extend(offences(file, &source));
    }
    assert!(found.is_empty(), "doors left open:\n{}", found.join("\n"));
}

#[test]
fn each_rule_reports_a_source_that_breaks_it() {
    let broken = [
        ("sqlx stays in store", "engine/mod.rs", "use sqlx::PgPool;"),
        ("sqlx stays in store", "cli.rs", "let row = sqlx::query(\"SELECT 1\");"),
        ("sqlx stays in store", "main.rs", "#[derive(sqlx::FromRow)] struct Row;"),
        ("tonic::Status is made", "cli/mod.rs", "use tonic::{Code, Status};"),
        ("tonic::Status is made", "engine/run.rs", "fn f() -> tonic::Status { todo!() }"),
        ("tonic::Status is made", "reconcile/mod.rs", "return Err(Status::internal(\"no\"));"),
        ("the pure rooms know no", "ledger/decide.rs", "use std::time::{Duration, SystemTime};"),
        ("the pure rooms know no", "keypool/choice.rs", "let x = rand::random();"),
        ("the pure rooms know no", "keypool/choice.rs", "use rand_core::Rng;"),
        ("the pure rooms know no", "audit.rs", "tracing::info!(\"hello\");"),
        ("the pure rooms know no", "audit/rules.rs", "let now = std::time::Instant::now();"),
        ("the pure rooms know no", "ledger/points.rs", "#[derive(prost::Message)] struct P;"),
        ("the pure rooms enter no", "audit/mod.rs", "use crate::{ledger::Points, store::Reader};"),
        ("ledger rests on no other room", "ledger/hold.rs", "use crate::keypool::LeaseId;"),
        ("audit rests on no other room", "audit/rows.rs", "use crate::ledger::Micros;"),
        ("vault knows no runtime", "vault/file.rs", "use tokio::fs::File;"),
        ("vault knows no runtime", "vault/kek.rs", "getrandom::fill(&mut bytes)"),
        ("vault enters no room", "vault/keyring.rs", "use crate::ledger::{Micros, Text};"),
        ("vault enters no room", "vault/sealed.rs", "use crate::fal::ApiKey;"),
        ("vault enters no room", "vault/tests/files.rs", "use super::super::super::config::KekArgs;"),
        ("the pure rooms enter no", "keypool/lease.rs", "use crate::vault::FalKey;"),
        ("report rests on the audit alone", "report/mod.rs", "use crate::ledger::Micros;"),
        ("report rests on the audit alone", "report/html/mod.rs", "use super::super::super::cli::output;"),
        ("report rests on the audit alone", "report/csv.rs", "use std::time::SystemTime;"),
        ("report rests on the audit alone", "report.rs", "async fn f(out: tokio::fs::File) {}"),
        ("reconcile joins", "reconcile/run.rs", "use crate::report::render;"),
        ("reconcile joins", "reconcile/fetch.rs", "use crate::store::sqlite::open;"),
        ("reconcile joins", "reconcile/handle.rs", "fn f(at: prost_types::Timestamp) {}"),
        ("server reads tokens through", "server/auth/known.rs", "use crate::store::postgres::open;"),
        ("server reads tokens through", "server/layer/mod.rs", "use crate::ledger::{Micros, Text};"),
        ("server reads tokens through", "server/auth/guard.rs", "use crate::api::convert;"),
        ("engine speaks to the store's traits", "engine/mod.rs", "use prost_types::Timestamp;"),
        ("store and engine know nobody above", "engine/mod.rs", "use crate::api::convert;"),
        ("store does not know the engine", "store/mod.rs", "use crate::engine::Handle;"),
        ("store does not know the engine", "store/mod.rs", "use super::engine::Handle;"),
        ("store does not know the engine", "store/sqlite/write.rs", "super::super::super::engine::run()"),
        (
            "bugs are planted in engine",
            "ledger/decide/refund.rs",
            "if crate::mutants::on(Mutant::RefundCap) {}",
        ),
        ("reqwest stays in fal", "reconcile/fetch.rs", "reqwest::Client::new()"),
        ("OpenTelemetry and Prometheus stay", "engine/lane.rs", "use opentelemetry::metrics::Counter;"),
        ("OpenTelemetry and Prometheus stay", "server/layer/mod.rs", "use tracing_opentelemetry::layer;"),
        ("meter enters no room", "meter/engine.rs", "use crate::ledger::Operation;"),
        ("the pure rooms enter no", "ledger/decide/mod.rs", "use crate::meter::Meters;"),
        ("generated code", "engine/mod.rs", "use crate::pb::v1::Charge;"),
        ("generated code", "report/json.rs", "fn f(x: pb::v1::Finding) {}"),
        ("generated code", "main.rs", "use scrip::{cli, pb};"),
    ];
    for (rule, file, source) in broken {
        let found = offences(file, source);
        let place = format!("src/{file}:1: {rule}");
        assert!(found.iter().any(|offence| offence.starts_with(&place)), "{source}: {found:?}");
    }
    for rule in RULES {
        assert!(broken.iter().any(|(name, ..)| rule.name.starts_with(name)), "nothing breaks: {}", rule.name);
    }
}

#[test]
fn what_a_door_lets_through_is_no_offence() {
    let kept = [
        ("store/sqlite/mod.rs", "use sqlx::{Connection, SqliteConnection};"),
        ("api/status.rs", "use tonic::Status; fn f() { Status::internal(\"x\"); }"),
        (
            "server/mod.rs",
            "use crate::pb::v1; use crate::store::tokens::TokenStore; use crate::ledger::Micros;",
        ),
        ("lib.rs", "pub mod pb; pub mod store; pub mod fal;"),
        ("pb.rs", "tonic::include_proto!(\"scrip.v1\");"),
        ("fal/client.rs", "use reqwest::Client;"),
        ("vault/sealed.rs", "use super::Kek; use crate::ledger::Text; use crate::vault::FalKey;"),
        (
            "report/html/chart.rs",
            "use crate::audit::Report; use super::super::words; use crate::report::Options;",
        ),
        ("cli/charge.rs", "use crate::pb::v1::ChargeRequest;"),
        (
            "reconcile/run.rs",
            "use crate::{audit, fal}; use crate::store::reconcile::Run; use crate::engine::Handle;",
        ),
        ("engine/mod.rs", "use crate::ledger::decide; use crate::store::Store; use tokio::sync::mpsc;"),
        (
            "store/sqlite/write.rs",
            "use super::super::engine_of; use super::report; fn f<'a>() -> impl X + use<'a> {}",
        ),
        // Another crate's or the domain's own Status is not tonic's.
        ("engine/mod.rs", "let s = TaskStatus::Pending; let r = ledger::Status::Done;"),
        // Words that only contain a forbidden one.
        ("ledger/points.rs", "let operand = grand + brand; struct Instantly;"),
    ];
    for (file, source) in kept {
        assert_eq!(offences(file, source), [""; 0], "{file}: {source}");
    }
}

#[test]
fn comments_and_strings_are_not_read_and_what_follows_them_is() {
    let silent = [
        "// use sqlx::Pool;",
        "//! sqlx is not for here",
        "/* outer /* use sqlx; */ sqlx */",
        "let url = \"postgres://sqlx\";",
        "let text = r#\"a \" sqlx::query\"#;",
        "let text = br\"sqlx\"; let quote = '\"'; let other = '\\''; // sqlx",
        "fn f<'a>(x: &'a str) -> &'a str { \"sqlx\" }",
    ];
    for source in silent {
        assert_eq!(offences("engine/mod.rs", source), [""; 0], "{source}");
        let and_then = format!("{source}\nuse sqlx::Pool;\n");
        let found = offences("engine/mod.rs", &and_then);
        assert!(
            found.iter().any(|offence| offence.starts_with("src/engine/mod.rs:2: sqlx")),
            "{source}: {found:?}"
        );
    }
}

#[test]
fn each_leaf_of_a_use_tree_is_reported_at_its_own_line() {
    let source = "use std::{\n    collections::BTreeMap,\n    time::{\n        Duration,\n        Instant as Moment,\n    },\n};\n";
    let found = offences("ledger/mod.rs", source);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("src/ledger/mod.rs:5:"), "{found:?}");
    assert!(found[0].ends_with("(std::time::Instant)"), "{found:?}");
}
