//! The doors between the rooms of `src/` (the table in ARCHITECTURE.md), held by reading the sources.
//!
//! The compiler cannot refuse `sqlx` in one module of a crate and allow it in another, so this test does: it
//! blanks comments and strings, gathers every path that is left (`use` trees spelled out), and asks each rule
//! whether that path may be named in that file.

mod source;

use std::path::{Path, PathBuf};

use source::{Mention, blank, mentions};

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
