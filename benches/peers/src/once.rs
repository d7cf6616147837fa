//! What needs no rounds, for it does not depend on how fast the machine just is: memory, size, bytes on disk. And the
//! start, which is measured a few times in a row.

use std::time::Duration;

use crate::figures::{Figure, Target};
use crate::load::{self, Call, Draw, Turn, connect};
use crate::options::Options;
use crate::process::{Server, scrip};
use crate::size;
use crate::stage::{Stage, Store};

const IDLE: usize = 500;
const STARTS: u32 = 7;
const MIB: f64 = 1_048_576.0;

pub async fn run(stage: &Stage, options: &Options) -> Vec<Figure> {
    let mut figures = Vec::new();
    if options.wants("memory") {
        for store in Store::BOTH {
            figures.extend(memory(stage, options, store).await);
        }
    }
    if options.wants("start") {
        let bytes = std::fs::metadata(scrip()).map_or(0, |file| file.len());
        figures.push(Figure::absolute("13", "binary", vec![bytes as f64 / MIB], "MiB", Target::AtMost(30.0)));
        figures.push(start(stage).await);
    }
    if options.wants("disk") {
        for store in Store::BOTH {
            figures.extend(disk(stage, options, store).await);
        }
    }
    figures
}

async fn memory(stage: &Stage, options: &Options, store: Store) -> [Figure; 2] {
    let database = stage.fresh(store).await;
    let server = Server::scrip(&database, &[]).await;
    let channels = connect(&server).await;
    let lasts = Duration::from_secs(u64::from(options.seconds));
    let turn = Turn {
        call: Call::Charge,
        draw: Draw::Uniform(options.users),
        in_flight: 1_024,
        lasts,
        seed: u64::MAX,
    };
    load::closed(&channels, turn).await;
    let (before, peak) = server.memory_kib();
    let idle = server.channels(IDLE).await;
    let (after, _) = server.memory_kib();
    drop(idle);
    server.stop().await;
    stage.drop(database).await;
    let name = |what: &str| format!("{}: {what}", store.name());
    let peak = vec![peak as f64 / 1_024.0];
    let each = vec![after.saturating_sub(before) as f64 / IDLE as f64];
    [
        Figure::absolute("12", &name("resident at peak load"), peak, "MiB", Target::AtMost(120.0)),
        Figure::absolute("12", &name("resident per idle connection"), each, "KiB", Target::AtMost(64.0)),
    ]
}

/// From nothing to serving, the new database's migrations included.
async fn start(stage: &Stage) -> Figure {
    let mut samples = Vec::new();
    for _ in 0..STARTS {
        let database = stage.name(Store::Sqlite);
        let server = Server::scrip(&database, &[]).await;
        samples.push(server.started_in.as_secs_f64() * 1_000.0);
        server.stop().await;
        stage.drop(database).await;
    }
    Figure::absolute("13", "cold start to serving, SQLite", samples, "ms", Target::AtMost(150.0))
        .note("a new file, its migrations included")
}

async fn disk(stage: &Stage, options: &Options, store: Store) -> Vec<Figure> {
    let charges = options.full.min(200_000);
    let less = Options { full: charges, ..options.clone() };
    let empty = stage.fresh(store).await;
    let before = size::of(&empty).await;
    stage.drop(empty).await;
    let full = stage.full(store, &less).await;
    let after = size::of(&full).await;
    stage.drop(full).await;
    let grown = size::growth(&before, &after, charges);
    let total = grown.iter().map(|(_, bytes)| bytes).sum();
    let figure = |name: &str, bytes: f64| {
        let name = format!("{}: {name}", store.name());
        Figure::absolute("14", &name, vec![bytes], "bytes/charge", Target::Reported)
    };
    let mut figures = vec![figure("all tables and indexes", total)];
    figures.extend(grown.iter().filter(|(_, bytes)| *bytes >= 0.5).map(|(name, bytes)| figure(name, *bytes)));
    figures
}
