//! Callers: they send what the script says, once or again, wait for the answer or go away, and note what they heard.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use scrip::engine::{EngineError, Handle, Wait};
use scrip::keypool::Command as Keys;
use scrip::ledger::{Text, UserId};
use tokio::time::Instant;

use crate::chance::Chance;
use crate::fleet::{Fleet, Found, HANGS_AFTER};
use crate::history::{Asked, Call, End, History, Told};
use crate::log::{Log, brief, brief_end};
use crate::script::{Known, Next};

/// What all parts of a simulation share.
pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) history: History,
    pub(crate) known: Known,
    pub(crate) log: Arc<Log>,
    /// What was found wrong while it ran.
    pub(crate) wrong: std::sync::Mutex<Vec<String>>,
}

/// How a call is sent.
#[derive(Clone, Copy, Default)]
struct Manner {
    wait: Wait,
    deadline: Option<Instant>,
    /// The caller goes away after this long.
    patience: Option<Duration>,
}

impl Manner {
    fn of(chance: &mut Chance) -> Self {
        let wait = if chance.is(40) { Wait(chance.millis(0, 20_000)) } else { Wait::default() };
        let deadline = chance.is(10).then(|| Instant::now() + chance.millis(0, 3_000));
        let patience = chance.is(6).then(|| chance.millis(0, 40));
        Self { wait, deadline, patience }
    }
}

/// A caller: so many steps, one after the other.
pub(crate) async fn client(scene: Arc<Scene>, mut chance: Chance, steps: usize) {
    for _ in 0..steps {
        pause(&mut chance).await;
        let Some(found) = scene.fleet.find(&mut chance) else {
            tokio::time::sleep(chance.millis(100, 2_000)).await;
            continue;
        };
        let manner = Manner::of(&mut chance);
        match scene.known.next(&mut chance) {
            Next::One(call) => {
                let is_twice = chance.is(5);
                let first = scene.send(&found, &call, manner);
                if is_twice {
                    // A duplicate on its way at the same time, mostly to another replica.
                    let other = scene.fleet.find(&mut chance).unwrap_or_else(|| found.clone());
                    tokio::join!(biased; first, scene.send(&other, &call, Manner::default()));
                } else {
                    first.await;
                }
            }
            Next::Batch { calls, atomic } => scene.send_batch(&found, calls, atomic, manner).await,
            Next::Balance(user) => scene.read(&found, user).await,
        }
    }
}

/// Mostly at once, sometimes after a while.
async fn pause(chance: &mut Chance) {
    match chance.below(10) {
        0..=3 => {
            for _ in 0..chance.below(6) {
                tokio::task::yield_now().await;
            }
        }
        4..=7 => tokio::time::sleep(chance.millis(1, 60)).await,
        8 => tokio::time::sleep(chance.millis(100, 1_500)).await,
        _ => tokio::time::sleep(chance.millis(1_000, 5_000)).await,
    }
}

impl Scene {
    pub(crate) fn is_wrong(&self, what: String) {
        self.log.line(|| format!("WRONG: {what}"));
        self.wrong.lock().expect("whole").push(what);
    }

    /// Sends a call and notes what became of it.
    async fn send(&self, found: &Found, call: &Call, manner: Manner) {
        let (number, actor) = self.history.begin(call, None);
        self.log.line(|| format!("{actor} to replica {}: {}", found.replica, brief(call)));
        let answered =
            self.within(found, manner.patience, deliver(&found.handle, call, &actor, manner)).await;
        self.note(number, &actor, answered);
    }

    /// Sends a call that must be answered, to a replica that is well.
    pub(crate) async fn settle(&self, found: &Found, call: &Call) {
        self.send(found, call, Manner::default()).await;
    }

    async fn send_batch(&self, found: &Found, calls: Vec<Call>, atomic: bool, manner: Manner) {
        let batch = self.history.events().sent.len();
        let mut items = Vec::new();
        let mut sent = Vec::new();
        for call in &calls {
            let Asked::Ledger(command) = &call.asked else { continue };
            let (number, actor) = self.history.begin(call, atomic.then_some(batch));
            items.push(found.handle.check(command.clone(), &call.request_id, &actor));
            sent.push((number, actor));
        }
        for ((_, actor), call) in sent.iter().zip(&calls) {
            let kind = if atomic { "an atomic batch" } else { "a batch" };
            self.log.line(|| format!("{actor} to replica {} in {kind}: {}", found.replica, brief(call)));
        }
        let deliver = found.handle.submit_batch(items, atomic, manner.deadline);
        match self.within(found, manner.patience, deliver).await {
            Ok(outcomes) => {
                let are_mixed = outcomes.iter().any(Result::is_ok) && outcomes.iter().any(Result::is_err);
                if atomic && are_mixed || outcomes.len() != sent.len() {
                    self.is_wrong(format!("an atomic batch came out in parts: {outcomes:?}"));
                }
                for ((number, actor), outcome) in sent.into_iter().zip(outcomes) {
                    let told = outcome.map(|answer| Told::Ledger(Box::new(answer)));
                    self.note(number, &actor, told.map_err(|refused| Failed::Engine(refused.into())));
                }
            }
            Err(failed) => {
                for (number, actor) in sent {
                    self.note(number, &actor, Err(failed.clone()));
                }
            }
        }
    }

    /// Reads a balance, which must not be older than what was acknowledged before.
    async fn read(&self, found: &Found, user: UserId) {
        let floor = self.history.floor(user);
        if let Ok(Some(read)) = self.within(found, None, found.handle.balance(user)).await {
            self.log.line(|| format!("replica {} reads {read:?}", found.replica));
            self.history.was_read(floor, read);
        }
    }

    /// Waits for an answer while the replica lives and the caller is there.
    async fn within<T>(
        &self,
        found: &Found,
        patience: Option<Duration>,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, Failed> {
        let patience = patience.unwrap_or(HANGS_AFTER);
        let _open = found.open();
        tokio::select! {
            biased;
            answered = answer => answered.map_err(Failed::Engine),
            () = found.life.cancelled() => Err(Failed::Lost("the replica died")),
            () = tokio::time::sleep(patience) => {
                if patience == HANGS_AFTER {
                    self.is_wrong("a call was not answered: it hangs".to_owned());
                }
                Err(Failed::Lost("the caller went away"))
            }
        }
    }

    fn note(&self, number: usize, actor: &Text, answered: Result<Told, Failed>) {
        let end = match answered {
            Ok(told) => {
                self.known.hear(&told);
                End::Done(told)
            }
            Err(Failed::Engine(EngineError::Rejected(refused))) => End::Refused(refused),
            Err(Failed::Engine(EngineError::OutcomeUnknown)) => End::Unknown("the store did not answer"),
            Err(Failed::Engine(error)) => {
                if error == EngineError::Internal {
                    self.is_wrong(format!("{actor} was answered with an internal error"));
                }
                End::NotDone(error)
            }
            Err(Failed::Lost(why)) => End::Unknown(why),
        };
        self.log.line(|| format!("{actor} hears: {}", brief_end(&end)));
        self.history.end(number, end);
    }
}

/// Why there is no answer.
#[derive(Clone)]
enum Failed {
    Engine(EngineError),
    Lost(&'static str),
}

async fn deliver(handle: &Handle, call: &Call, actor: &Text, manner: Manner) -> Result<Told, EngineError> {
    let (request_id, deadline) = (call.request_id.as_str(), manner.deadline);
    match &call.asked {
        Asked::Ledger(command) if command.selection().is_some() => {
            let told = (actor, deadline);
            let answer = handle.submit_waiting(command.clone(), request_id, told, manner.wait).await;
            answer.map(|answer| Told::Ledger(Box::new(answer)))
        }
        Asked::Ledger(command) => {
            let answer = handle.submit(command.clone(), request_id, actor, deadline).await;
            answer.map(|answer| Told::Ledger(Box::new(answer)))
        }
        Asked::Keys(Keys::Release { lease_id, report }) => {
            let named = (Text::clone(lease_id), report.clone());
            let answer = handle.release(named, &call.job, actor, deadline).await;
            answer.map(|answer| Told::Keys(Box::new(answer)))
        }
        Asked::Keys(command) => {
            let answer = handle.keys(command.clone(), request_id, actor, deadline).await;
            answer.map(|answer| Told::Keys(Box::new(answer)))
        }
    }
}
