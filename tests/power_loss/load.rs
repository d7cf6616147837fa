//! The load under which the power fails: an engine on a file, in a process of its own that the shim watches.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use scrip::clock::System;
use scrip::engine::{Answer, Engine, EngineError, Handle, Options};
use scrip::ledger::{Command, Purse};
use scrip::store::sqlite;
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::commands::{
    ACTOR, AsCommand, authorize, capture, charge, complete, credit, of_user, refund, text, void,
};
use crate::disk::acknowledgement;

const CALLERS: u64 = 4;
const FUNDS: i64 = 1_000_000;

/// Tells the log what was acknowledged, as soon as it was.
#[derive(Clone)]
struct Log(Arc<Mutex<File>>);

impl Log {
    fn acknowledge(&self, answer: &Answer) {
        let mut said = String::new();
        for entry in &answer.entries {
            said += &format!("entry {} {} {:?}\n", entry.user_id, entry.user_seq, entry.hash);
        }
        if let Some(task) = &answer.task {
            said += &format!("task {} {}\n", task.user_id, task.task_id);
        }
        // One write to its end, as the shim's own are.
        self.0.lock().unwrap().write_all(&acknowledgement(&said)).unwrap();
    }
}

/// Serves the file `directory/scrip.db`, twice, to callers who each make `steps` calls; closed in good order once.
pub(crate) async fn run(directory: &Path, log: &Path, (seed, steps): (u64, usize)) {
    let log = Log(Arc::new(Mutex::new(OpenOptions::new().append(true).create(true).open(log).unwrap())));
    for round in 0..2 {
        let url = format!("sqlite://{}", directory.join("scrip.db").display());
        // A small log is moved into the file often: that is where most can go wrong.
        let pages = [1_000, 20, 200][usize::try_from(seed % 3).unwrap()];
        let options = sqlite::Options {
            move_pages: pages / 4,
            wal_autocheckpoint: pages,
            ..sqlite::Options::new(System::clock())
        };
        let store = sqlite::open(&url, options).await.unwrap();
        let engine = Engine::start(&*store, System::ids(), Options { lanes: 2, ..Options::default() });
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let chance = Chance::of(seed ^ (round * CALLERS + caller + 1) << 32);
            callers.spawn(call(engine.handle(), log.clone(), format!("{round}-{caller}"), (chance, steps)));
        }
        callers.join_all().await;
        engine.drain().await;
        if round == 0 {
            store.close().await;
        }
    }
}

/// Calls one after the other, each acknowledged before the next is made.
async fn call(handle: Handle, log: Log, name: String, (mut chance, steps): (Chance, usize)) {
    let user = i64::try_from(chance.below(3)).unwrap() + 1;
    submit(&handle, &log, &format!("fund-{name}"), of_user(user, credit(Purse::Points, FUNDS).command()))
        .await;
    for step in 0..steps {
        let task_id = format!("{name}-{step}");
        // Some pages are overflown.
        let mut job = charge(&task_id, 1 + i64::try_from(chance.below(50)).unwrap());
        job.input_params = text(&format!("{{\"prompt\":\"{}\"}}", "x".repeat(chance.below(6_000))));
        let mut hold = authorize(&task_id, job.amount);
        hold.charge = job.clone();
        match chance.below(4) {
            0 => {
                submit(&handle, &log, "", of_user(user, hold.command())).await;
                let then = if chance.below(2) == 0 {
                    void(&task_id).command()
                } else {
                    capture(&task_id, 1).command()
                };
                submit(&handle, &log, "", of_user(user, then)).await;
            }
            1 => {
                submit(&handle, &log, "", of_user(user, job.command())).await;
                submit(
                    &handle,
                    &log,
                    &format!("refund-{task_id}"),
                    of_user(user, refund(&task_id, 1).command()),
                )
                .await;
            }
            2 => {
                submit(&handle, &log, "", of_user(user, job.command())).await;
                submit(&handle, &log, "", of_user(user, complete(&task_id).command())).await;
            }
            _ => submit(&handle, &log, "", of_user(user, job.command())).await,
        }
    }
}

async fn submit(handle: &Handle, log: &Log, request_id: &str, command: Command) {
    let answer: Result<Answer, EngineError> = handle.submit(command, request_id, &text(ACTOR), None).await;
    log.acknowledge(&answer.unwrap());
}
