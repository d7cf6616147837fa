//! One simulation: its world from a seed, its callers and its nemesis, healing, and what was found wrong.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use scrip::engine::{Options, verify};
use scrip::keypool::Command as Keys;
use scrip::ledger::{Command, Purse};
use scrip::store::Store;
use tokio::task::JoinSet;

use crate::accounts::{Sealing, keyring};
use crate::bugs::Bug;
use crate::chance::{Chance, SimClock};
use crate::check;
use crate::client::{Scene, client};
use crate::commands::{credit, of_user, text};
use crate::database::{Connection, Database};
use crate::fleet::Fleet;
use crate::history::{End, History, Sent, Told};
use crate::log::Log;
use crate::nemesis::{ENDS_AFTER, Nemesis};
use crate::script::Known;

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    pub(crate) bug: Option<Bug>,
    /// Print each step.
    pub(crate) printed: bool,
    /// Keep each step and the final tables, for comparison.
    pub(crate) kept: bool,
}

/// What became of a seed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What was found wrong, in the order in which it was found.
    pub(crate) wrong: Vec<String>,
    /// How often what was met.
    pub(crate) met: BTreeMap<String, u64>,
    /// Each step, and the final tables.
    pub(crate) lines: Vec<String>,
}

/// Runs a seed. A panic is one more thing that is wrong.
pub(crate) fn run(seed: u64, how: How) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    match catch_unwind(AssertUnwindSafe(|| runtime.block_on(simulate(seed, how)))) {
        Ok(report) => report,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Report { wrong: vec![format!("a panic: {}", words.unwrap_or_default())], ..Report::default() }
        }
    }
}

async fn simulate(seed: u64, how: How) -> Report {
    let mut chance = Chance::stream(seed, 1);
    let log = Arc::new(Log::new(how.printed, how.kept));
    let clock = Arc::new(SimClock::new());
    let database = Arc::new(Database::new(clock, Chance::stream(seed, 2), how.bug, &log));
    let options = options(&mut chance);
    let mut sealing = Sealing::new();
    let users = chance.between(3, 8);
    set_up(&database, &mut sealing, users, &mut chance).await;
    let count = usize::try_from(chance.between(1, 3)).expect("few");
    let fleet = Fleet::start(&database, options, Chance::stream(seed, 3), (count, &log));
    let known = Known::new(users, sealing);
    let accounts = database.model.pool().accounts.into_keys().collect();
    known.accounts_are(accounts);
    let (history, wrong) = (History::default(), std::sync::Mutex::default());
    let scene = Arc::new(Scene { fleet, history, known, log: Arc::clone(&log), wrong });

    let mut nemesis = Nemesis::new(&scene, &database, Chance::stream(seed, 4));
    nemesis.look();
    nemesis.weather();
    let mut clients = JoinSet::new();
    let (clients_count, steps) = (chance.between(4, 12), chance.between(60, 80));
    for number in 0..clients_count.unsigned_abs() {
        let steps = usize::try_from(steps / clients_count + 1).expect("few");
        clients.spawn(client(Arc::clone(&scene), Chance::stream(seed, 100 + number), steps));
    }
    tokio::select! {
        biased;
        () = async { while let Some(ended) = clients.join_next().await { ended.expect("no client panics") } } => {}
        () = nemesis.run() => {}
        () = tokio::time::sleep(ENDS_AFTER) => scene.is_wrong("the callers do not come to an end".to_owned()),
    }
    nemesis.heal().await;
    let resolved = resolve(&scene, &mut chance).await;
    nemesis.look();
    for replica in 0..scene.fleet.count() {
        if let Some(wrong) = scene.fleet.drain(replica).await {
            scene.is_wrong(format!("at the end {wrong}"));
        }
    }
    nemesis.look();
    finish(&scene, &database, (&nemesis, resolved)).await
}

/// How the engines work: mostly in small batches, so that there are many of them.
fn options(chance: &mut Chance) -> Options {
    Options {
        keyring: Arc::new(keyring()),
        queue_items: chance.of(&[3, 8, 1_000, 1_000]),
        batch_items: chance.of(&[1, 3, 20, 2_048]),
        lanes: chance.of(&[1, 1, 2]),
        conflict_retries: chance.of(&[2, 20]),
        resolve_for: Duration::from_millis(chance.of(&[300, 2_000, 15_000])),
        sweep_every: Duration::from_millis(chance.of(&[700, 2_500])),
        probe_every: Duration::from_secs(5),
        ..Options::default()
    }
}

/// Users with little money, and accounts with few slots: through an engine to which nothing happens.
async fn set_up(database: &Arc<Database>, sealing: &mut Sealing, users: i64, chance: &mut Chance) {
    let connection = Connection { database: Arc::clone(database), replica: 0, life: Default::default() };
    let ids = Arc::new(crate::chance::SimIds::new(Chance::stream(chance.number(), 5)));
    let engine = scrip::engine::Engine::start(&connection, ids, Options::default());
    let (handle, actor) = (engine.handle(), text("setup"));
    // The last user is not there: whoever is credited first comes to be.
    for user in 1..users {
        for (purse, most) in [(Purse::Points, 60), (Purse::Cash, 25)] {
            let amount = chance.between(0, most);
            if amount > 0 {
                let credit = of_user(user, Command::Credit(credit(purse, amount)));
                let funded = handle.submit(credit, &format!("fund-{purse}"), &actor, None).await;
                funded.expect("nothing happens to it");
            }
        }
    }
    for _ in 0..chance.of(&[1, 1, 2, 2, 3, 4, 5, 6]) {
        let added = handle.keys(Keys::Create(sealing.account(chance)), "", &actor, None).await;
        added.expect("nothing happens to it");
    }
    drop(handle);
    engine.drain().await;
}

/// Sends every call again whose outcome nobody knows, until it is known: to replicas that are well.
async fn resolve(scene: &Arc<Scene>, chance: &mut Chance) -> BTreeMap<&'static str, u64> {
    let mut resolved = BTreeMap::new();
    let unknown: Vec<_> = {
        let events = scene.history.events();
        events.sent.iter().filter(|sent| sent.is_unknown()).map(|sent| sent.call.clone()).collect()
    };
    for call in unknown {
        let found = scene.fleet.find(chance).expect("all replicas are there");
        let number = scene.history.events().sent.len();
        scene.settle(&found, &call).await;
        let became = match &scene.history.events().sent[number].end {
            Some((_, End::Done(told))) if check::is_replay(told) => "had been done",
            Some((_, End::Done(_))) => "was done now",
            Some((_, End::Refused(_))) => "is refused",
            None | Some((_, End::NotDone(_) | End::Unknown(_))) => "stays unknown",
        };
        if became == "stays unknown" {
            scene.is_wrong(format!("nothing fails, and yet this stays unknown: {call:?}"));
        }
        *resolved.entry(became).or_default() += 1;
    }
    resolved
}

/// All checks of the end, and what was met.
async fn finish(
    scene: &Scene,
    database: &Database,
    (nemesis, resolved): (&Nemesis, BTreeMap<&'static str, u64>),
) -> Report {
    let (world, pool) = (database.model.world(), database.model.pool());
    let events = std::mem::take(&mut *scene.history.events());
    let mut wrong = std::mem::take(&mut *scene.wrong.lock().expect("whole"));
    let watch = std::mem::take(&mut *database.watch());
    wrong.extend(watch.wrong);
    wrong.extend(check::disagreements(&events, &world, &pool));
    let mut report = Report { wrong, lines: scene.log.lines(), ..Report::default() };
    let mut meet = |what: String, times: u64| *report.met.entry(what).or_default() += times;
    for sent in &events.sent {
        meet(word(sent), 1);
    }
    for (what, times) in &nemesis.did {
        meet(format!("nemesis: {what}"), *times);
    }
    for (what, times) in resolved {
        meet(format!("unknown, and it {what}"), times);
    }
    for (what, times) in [
        ("commits", watch.commits),
        ("leases", watch.leases),
        ("probes", watch.probes),
        ("killed", watch.killed),
    ] {
        meet(what.to_owned(), times);
    }
    if !report.lines.is_empty() {
        report.lines.extend([format!("{world:?}"), format!("{pool:?}")]);
    }
    let snapshot = database.model.reader().audit_snapshot().await.expect("nothing fails");
    let mut found = Vec::new();
    let mut hear = |disagreement| found.push(format!("verify: {disagreement:?}"));
    verify(snapshot, &mut hear, &mut |_| {}).await.expect("nothing fails");
    report.wrong.extend(found);
    report
}

/// How a call ended, in a word or two.
fn word(sent: &Sent) -> String {
    let first = |debug: String| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    match sent.end.as_ref().map(|(_, end)| end) {
        None => "never heard of".to_owned(),
        Some(End::Done(Told::Ledger(answer))) => {
            let method = sent.command().map(|command| command.method().as_str()).unwrap_or_default();
            let how = if answer.late { "late" } else { "done" };
            format!("{} {method}", if answer.replayed { "replayed" } else { how })
        }
        Some(End::Done(Told::Keys(answer))) => first(format!("{:?}", answer.done)),
        Some(End::Refused(refused)) => first(format!("{refused:?}")),
        Some(End::NotDone(error)) => first(format!("{error:?}")),
        Some(End::Unknown(why)) => format!("unknown: {why}"),
    }
}
