//! The power fails while SQLite is served: whatever the disk then holds opens, agrees, and has all that was acknowledged.
//!
//! | phase | where |
//! |---|---|
//! | an engine serves callers on a file; a shim under its process logs each write, sync and acknowledgement | `load`, `shim.c` |
//! | at the bounds of syncs the disk is rebuilt: what was synced, and of the rest what chance kept, torn and reordered | `disk` |
//! | each image is opened, verified, searched for what was acknowledged by then, and written to | here |
//!
//! ```text
//! cargo test --test power_loss                                            # 100 images
//! POWER_LOSS_IMAGES=3600 POWER_LOSS_SEED=7 cargo test --test power_loss   # more of them; those of another run
//! ```
//!
//! That the check can fail is shown by a disk that lies: its syncs answer and do nothing.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod chance;
mod disk;
mod load;
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, unreachable_pub, reason = "shared with the other tests")]
#[path = "../support/commands.rs"]
mod commands;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chance::Chance;
use commands::{ACTOR, AsCommand, USER, credit, text};
use disk::{Disk, Honesty, Record, boundaries, records};
use scrip::clock::System;
use scrip::engine::{Engine, Options, verify};
// What the shared commands are written against.
use scrip::ledger;
use scrip::ledger::Purse;
use scrip::store::{Store, StoreError, StoredEntry, sqlite};
use support::{postgres, say_not_run};
use tokio::process::Command;

/// Set in the process that serves: the directory of its file.
const SERVES: &str = "SCRIP_TEST_POWER_LOSS_DIRECTORY";
const NAME: &str = "whatever_the_disk_holds_when_the_power_fails_is_sound_and_has_all_that_was_acknowledged";

/// Images of one run, and the calls of each of its callers.
const IMAGES: usize = 100;
const STEPS: usize = 25;
/// Images that one run of the load is good for: more than it has bounds of syncs.
const IMAGES_A_RUN: usize = 1_200;
/// Which images are given to the program itself as well.
const EACH: usize = 50;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|told| told.parse().unwrap())
}

/// Compiles the shim; `None` where there is no C compiler, which has then been said aloud.
fn shim(directory: &Path) -> Option<PathBuf> {
    if postgres::on_path("cc").is_none() {
        say_not_run("it needs a C compiler, cc");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/shim.c");
    let object = directory.join("shim.so");
    let mut cc = std::process::Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O2", "-o"]);
    let compiled = cc.arg(&object).arg(source).arg("-ldl").status().unwrap();
    assert!(compiled.success(), "the shim compiles");
    Some(object)
}

/// Serves in a process of its own under the shim, and answers the log.
async fn serve(shim: &Path, seed: u64) -> Vec<Record> {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let served = directory.path().join("served");
    std::fs::create_dir(&served).unwrap();
    // As the kernel says it.
    let served = served.canonicalize().unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(SERVES, &served)
        .env("POWER_LOSS_SEED", seed.to_string())
        .env("SHIM_DIRECTORY", &served)
        .env("SHIM_LOG", &log)
        .env("LD_PRELOAD", shim)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    records(&std::fs::read(&log).unwrap())
}

/// What was acknowledged before the power failed.
fn acknowledged(records: &[Record]) -> BTreeSet<String> {
    let said = records.iter().filter(|record| record.kind == b'A');
    said.flat_map(|record| {
        String::from_utf8(record.data.clone()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

/// What is wrong with the file of an image.
async fn wrong(database: &Path, acknowledged: &BTreeSet<String>) -> Vec<String> {
    let options = sqlite::Options { readers: 2, ..sqlite::Options::new(System::clock()) };
    let store = match sqlite::open(&format!("sqlite://{}", database.display()), options).await {
        Ok(store) => store,
        Err(error) => return vec![format!("it does not open: {error:?}")],
    };
    let mut wrong = Vec::new();
    let snapshot = store.reader().audit_snapshot().await.unwrap();
    let mut hear = |disagreement| wrong.push(format!("verify: {disagreement:?}"));
    if let Err(error) = verify(snapshot, &mut hear, &mut |_| {}).await {
        wrong.push(format!("verify: {error:?}"));
    }
    match stored(&*store).await {
        Ok(stored) => {
            let lost = acknowledged.difference(&stored);
            wrong.extend(lost.map(|lost| format!("acknowledged, and lost: {lost}")));
        }
        Err(error) => wrong.push(format!("it cannot be read: {error}")),
    }
    // Life goes on.
    let engine = Engine::start(&*store, System::ids(), Options::default());
    let more = credit(Purse::Points, 1).command();
    if let Err(error) = engine.handle().submit(more, "after", &text(ACTOR), None).await {
        wrong.push(format!("user {USER} cannot be credited: {error:?}"));
    }
    engine.drain().await;
    store.close().await;
    wrong
}

/// All entries and tasks, in the words in which they are acknowledged.
async fn stored(store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
    const PAGE: u32 = 1_000;
    let mut snapshot = store.reader().audit_snapshot().await?;
    let mut found = BTreeSet::new();
    let mut after = (0, 0);
    loop {
        let page = snapshot.entries(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.user_id, last.user_seq);
        let words = |entry: &StoredEntry| {
            format!("entry {} {} {:?}", entry.user_id, entry.user_seq, entry.entry_hash)
        };
        found.extend(page.iter().map(words));
    }
    let mut after = (0, 0);
    loop {
        let page = snapshot.tasks(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.task.user_id, last.id);
        found.extend(page.iter().map(|row| format!("task {} {}", row.task.user_id, row.task.task_id)));
    }
    Ok(found)
}

/// Rebuilds `images` disks at bounds of syncs, evenly over the run, and says what is wrong with each that has a fault.
async fn images(
    log: &[Record],
    honesty: Honesty,
    (seed, images): (u64, usize),
) -> BTreeMap<usize, Vec<String>> {
    let bounds = boundaries(log);
    assert!(bounds.len() > 50, "the load was real: {} bounds", bounds.len());
    let (mut disk, mut stepped) = (Disk::new(honesty), 0);
    let mut found = BTreeMap::new();
    for image in 0..images {
        let bound = bounds[image * bounds.len() / images];
        log[stepped..bound].iter().for_each(|record| disk.step(record));
        stepped = bound;
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("scrip.db");
        for (name, bytes) in disk.image(&mut Chance::of(seed.wrapping_add(image as u64))) {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let mut faults = wrong(&database, &acknowledged(&log[..bound])).await;
        if image % EACH == 0 && honesty == Honesty::Honest {
            let (code, said) = support::client::verify(&format!("sqlite://{}", database.display())).await;
            if code != Some(0) {
                faults.push(format!("scrip verify: {code:?}: {said}"));
            }
        }
        if !faults.is_empty() {
            found.insert(image, faults);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_disk_holds_when_the_power_fails_is_sound_and_has_all_that_was_acknowledged() {
    let seed = number("POWER_LOSS_SEED").unwrap_or(1);
    if let Some(directory) = std::env::var_os(SERVES) {
        let log = std::env::var_os("SHIM_LOG").unwrap();
        return load::run(Path::new(&directory), Path::new(&log), (seed, STEPS)).await;
    }
    let tools = tempfile::tempdir().unwrap();
    let Some(shim) = shim(tools.path()) else { return };
    let wanted = number("POWER_LOSS_IMAGES").map_or(IMAGES, |images| usize::try_from(images).unwrap());
    let mut looked_at = 0;
    for run in 0.. {
        let now = (wanted - looked_at).min(IMAGES_A_RUN);
        if now == 0 {
            break;
        }
        let seed = seed + run;
        let log = serve(&shim, seed).await;
        let found = images(&log, Honesty::Honest, (seed, now)).await;
        assert!(found.is_empty(), "POWER_LOSS_SEED={seed}: of {now} images these are wrong: {found:#?}");
        looked_at += now;
        let (bounds, acknowledged) = (boundaries(&log).len(), acknowledged(&log).len());
        println!(
            "seed {seed}: {now} images at {bounds} bounds of syncs, {acknowledged} rows acknowledged: all sound"
        );
        if run == 0 {
            let lied_to = images(&log, Honesty::Lying, (seed, 20)).await;
            let lost = lied_to
                .values()
                .flatten()
                .filter(|fault| fault.starts_with("acknowledged, and lost"))
                .count();
            println!("the same on a disk that lies: {} of 20 images wrong, {lost} rows lost", lied_to.len());
            assert!(
                lost > 0,
                "a disk whose syncs do nothing loses rows, and the check did not see it: {lied_to:?}"
            );
        }
    }
}
