//! Keys through the engine, over a store in memory and on paused time: who waits for a key and in which order, what
//! other processes' choices do to a cached view, secrets that cannot be opened, leases that nobody gives back.

#![allow(clippy::unwrap_used)]

mod support;

// What `commands.rs` is written against.
use scrip::ledger;
#[allow(dead_code, unreachable_pub, reason = "other test crates use the rest")]
#[path = "support/commands.rs"]
mod commands;

use std::sync::Arc;
use std::time::Duration;

use commands::{ACTOR, authorize, capture, charge, credit, select, start, text};
use scrip::clock::System;
use scrip::engine::{Answer, Engine, EngineError, GrantedKey, Handle, Options, Wait};
use scrip::keypool::{
    AccountChanges, AllowList, Command as Keys, Done, LeaseOutcome, LeaseState, NewAccount, Purpose,
};
use scrip::ledger::command::{Authorize, Charge, StartTask};
use scrip::ledger::{Command, KeySelection, Micros, Purse, Rejection, Report, Why};
use scrip::vault::{FalKey, KekId, Keyring};
use support::model::{Fault, Gate, Model, TestClock};
use tokio::task::JoinHandle;

const SECOND: i64 = 1_000_000;

/// A process of scrip.
struct Replica {
    engine: Engine,
    handle: Handle,
}

struct World {
    model: Model,
    clock: Arc<TestClock>,
}

impl World {
    fn new() -> World {
        let clock = TestClock::at(Micros(1_700_000_000_000_000));
        World { model: Model::new(clock.clone()), clock }
    }

    fn replica_with(&self, keyring: Keyring) -> Replica {
        let options = Options { keyring: Arc::new(keyring), ..Options::default() };
        let engine = Engine::start(&self.model, System::ids(), options);
        Replica { handle: engine.handle(), engine }
    }

    fn replica(&self) -> Replica {
        self.replica_with(keyring(7))
    }
}

fn keyring(byte: u8) -> Keyring {
    Keyring::generate(KekId::new("k1").unwrap(), [byte; 32])
}

impl Replica {
    async fn add(&self, name: &str, max_concurrency: u32) -> i64 {
        let key = FalKey::new(format!("key-{name}:secret")).unwrap();
        let new = NewAccount {
            name: text(name),
            key: self.handle.seal(key, Purpose::Lease).unwrap(),
            billing_key: None,
            workspace: text(""),
            max_concurrency,
            priority: 0,
            weight: 100,
            allowed_apps: AllowList::default(),
            remark: text(""),
            balance_nano_usd: None,
        };
        match self.handle.keys(Keys::Create(new), "", &text(ACTOR), None).await.unwrap().done {
            Done::Account(described) => described.account.account_id,
            other => panic!("{other:?}"),
        }
    }

    async fn fund(&self) {
        let fund = Command::Credit(credit(Purse::Points, 1_000));
        self.handle.submit(fund, "fund", &text(ACTOR), None).await.unwrap();
    }

    /// Charges a task that asks for a key.
    async fn charge(&self, task_id: &str, wait_seconds: u64) -> Result<Answer, EngineError> {
        charge_on(self.handle.clone(), task_id.to_owned(), wait_seconds).await
    }

    async fn lease(&self, task_id: &str) -> GrantedKey {
        self.charge(task_id, 0).await.unwrap().lease.unwrap()
    }

    /// Begins a charge that waits, and returns when it does: on paused time nothing else moves it on.
    async fn park(&self, task_id: &str) -> JoinHandle<Result<Answer, EngineError>> {
        let call = tokio::spawn(charge_on(self.handle.clone(), task_id.to_owned(), 60));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!call.is_finished(), "{task_id} waits");
        call
    }

    async fn select(&self, task_id: &str, runner_id: &str, wait_seconds: u64) -> Result<Answer, EngineError> {
        let command = Command::SelectKey(select(task_id, runner_id, ""));
        let wait = Wait(Duration::from_secs(wait_seconds));
        self.handle.submit_waiting(command, "", (&text(ACTOR), None), wait).await
    }

    async fn submit(&self, command: Command) -> Result<Answer, EngineError> {
        self.handle.submit(command, "", &text(ACTOR), None).await
    }

    async fn change(&self, account_id: i64, changes: AccountChanges) {
        let update = Keys::Update { account_id, changes, reason: text("") };
        self.handle.keys(update, "", &text(ACTOR), None).await.unwrap();
    }

    async fn release(&self, lease: &GrantedKey) {
        let report = Report { outcome: Some(LeaseOutcome::Succeeded), ..Report::default() };
        let named = (Arc::clone(&lease.lease.lease_id), report);
        self.handle.release(named, "", &text(ACTOR), None).await.unwrap();
    }

    async fn in_flight(&self, account_id: i64) -> u32 {
        self.handle.account(account_id).await.unwrap().unwrap().in_flight
    }
}

async fn charge_on(handle: Handle, task_id: String, wait_seconds: u64) -> Result<Answer, EngineError> {
    let command = Command::Charge(Charge {
        select_key: Some(Box::new(KeySelection::default())),
        ..charge(&task_id, 1)
    });
    let wait = Wait(Duration::from_secs(wait_seconds));
    handle.submit_waiting(command, "", (&text(ACTOR), None), wait).await
}

fn why(refused: Result<Answer, EngineError>) -> Why {
    match refused {
        Err(EngineError::Rejected(Rejection::NoKeyAvailable { why, .. })) => why,
        other => panic!("{other:?}"),
    }
}

async fn told(call: JoinHandle<Result<Answer, EngineError>>) -> GrantedKey {
    call.await.unwrap().unwrap().lease.unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_longest_is_served_first_and_nobody_jumps_the_queue() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 1).await;
    let mut lease = replica.lease("job-0").await;
    let mut parked = Vec::new();
    for n in 1..=3 {
        parked.push(replica.park(&format!("job-{n}")).await);
    }
    for (n, call) in (1..=3).zip(parked) {
        replica.release(&lease).await;
        // The slot is free, and still not for one who has not waited.
        assert_eq!(why(replica.charge("jumper", 0).await), Why::AllBusy);
        lease = told(call).await;
        assert_eq!(*lease.lease.task_id, format!("job-{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_gets_the_lease_it_was_given_however_many_wait() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 1).await;
    let lease = replica.lease("job").await;
    let _parked = replica.park("other").await;
    let replay = replica.charge("job", 0).await.unwrap();
    assert!(replay.replayed);
    assert_eq!(replay.lease.unwrap().lease, lease.lease);
    let again = replica.select("job", "", 0).await.unwrap();
    assert!(again.replayed && again.lease.unwrap().lease == lease.lease);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_its_place_to_the_next() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 1).await;
    let lease = replica.lease("job").await;
    let gone = replica.park("gone").await;
    let next = replica.park("next").await;
    gone.abort();
    replica.release(&lease).await;
    assert_eq!(&*told(next).await.lease.task_id, "next");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_another_process_frees_is_found_by_the_slow_poll() {
    let world = World::new();
    let (one, other) = (world.replica(), world.replica());
    one.fund().await;
    one.add("a", 1).await;
    let lease = one.lease("job").await;
    let waiting = other.park("waiting").await;
    one.release(&lease).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(&*told(waiting).await.lease.task_id, "waiting");
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_time_and_with_the_service() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    assert_eq!(why(replica.charge("none", 60).await), Why::NoneEnabled, "what cannot come is not waited for");
    replica.add("a", 1).await;
    replica.lease("job").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(why(replica.charge("late", 5).await), Why::AllBusy);
    assert_eq!(begun.elapsed().as_secs(), 5);
    let waiting = replica.park("waiting").await;
    replica.engine.drain().await;
    assert_eq!(waiting.await.unwrap().err(), Some(EngineError::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn selections_of_one_batch_spread_over_the_pool() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    for n in 0..30 {
        replica.add(&n.to_string(), 1).await;
    }
    replica.release(&replica.lease("warm").await).await;
    let gate = Gate::closed();
    world.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let held = tokio::spawn(charge_on(replica.handle.clone(), "held".to_owned(), 0));
    gate.arrivals(1).await;
    let calls: Vec<_> =
        (0..29).map(|n| tokio::spawn(charge_on(replica.handle.clone(), format!("job-{n}"), 0))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    gate.open();
    told(held).await;
    let mut accounts = std::collections::BTreeSet::new();
    for call in calls {
        accounts.insert(told(call).await.lease.account_id);
    }
    assert_eq!(accounts.len(), 29, "one job on each account");
}

#[tokio::test(start_paused = true)]
async fn what_another_process_took_costs_another_round_and_no_refusal() {
    let world = World::new();
    let (one, other) = (world.replica(), world.replica());
    one.fund().await;
    for n in 0..12 {
        one.add(&n.to_string(), 1).await;
    }
    // Both have read the pool; what the other takes from now on, this one does not hear of.
    one.release(&one.lease("warm-1").await).await;
    other.release(&other.lease("warm-2").await).await;
    for n in 0..7 {
        other.lease(&format!("other-{n}")).await;
    }
    for n in 0..5 {
        one.lease(&format!("one-{n}")).await;
    }
    assert_eq!(why(one.charge("one too many", 0).await), Why::AllBusy);
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_key_cannot_be_opened_is_not_chosen() {
    let world = World::new();
    let stranger = world.replica_with(keyring(8));
    stranger.fund().await;
    let sealed_elsewhere = stranger.add("a", 5).await;
    let replica = world.replica();
    let refused = replica.charge("job", 0).await;
    let Err(EngineError::Rejected(Rejection::SecretUnavailable { key_id, kek_id, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((&*key_id, &*kek_id), ("key-a", "k1"));
    assert_eq!(replica.in_flight(sealed_elsewhere).await, 0, "nothing was leased");
    let own = replica.add("b", 5).await;
    for n in 0..5 {
        let lease = replica.lease(&format!("job-{n}")).await;
        assert_eq!((lease.lease.account_id, lease.api_key.unwrap().expose()), (own, "key-b:secret"));
    }
    let none = world.replica_with(Keyring::default());
    let key = FalKey::new("key-c:secret".to_owned()).unwrap();
    let refused = none.handle.seal(key, Purpose::Lease);
    assert!(matches!(refused, Err(Rejection::SecretUnavailable { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_gives_back_is_swept_and_blames_nobody() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    let account = replica.add("a", 1).await;
    let lost = replica.lease("job").await;
    let waiting = replica.park("next").await;
    world.clock.advance(15 * 60 * SECOND);
    // The sweep frees the slot, and wakes who waits for it.
    assert_eq!(&*told(waiting).await.lease.task_id, "next");
    let replay = replica.charge("job", 0).await.unwrap().lease.unwrap();
    assert_eq!((replay.state, replay.api_key.is_none()), (LeaseState::Expired, true));
    let record = replica.handle.account(account).await.unwrap().unwrap();
    assert_eq!((record.in_flight, record.account.use_cnt, record.account.error_cnt), (1, 2, 0));
    // Its runner comes back late: noted, and nothing else.
    let report = Report { http_status: Some(429), ..Report::default() };
    let late = replica.handle.release((lost.lease.lease_id, report), "", &text(ACTOR), None).await.unwrap();
    assert!(matches!(late.done, Done::Released(released) if released.replayed));
    assert_eq!(replica.in_flight(account).await, 1);
    let page = scrip::engine::rows::Page { before: None, limit: 1 };
    let newest = replica.handle.audit_log(Some(account), page).await.unwrap().remove(0);
    assert_eq!(&*newest.reason, "reported rate_limited after it had expired");
}

#[tokio::test(start_paused = true)]
async fn who_names_no_model_stands_in_the_queue_of_its_tasks_model() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 1).await;
    replica.submit(Command::Charge(charge("jumper", 1))).await.unwrap();
    let lease = replica.lease("job").await;
    let waiting = replica.park("waiting").await;
    replica.release(&lease).await;
    assert_eq!(why(replica.select("jumper", "", 0).await), Why::AllBusy);
    assert_eq!(&*told(waiting).await.lease.task_id, "waiting");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_must_stay_on_its_account_waits_for_it_and_stands_in_nobodys_way() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    let own = replica.add("a", 1).await;
    let lease = replica.lease("job").await;
    let lease_id = Arc::clone(&lease.lease.lease_id);
    let begin = StartTask { lease_id, key_id: text(""), ..start("job", "online-1") };
    replica.submit(Command::StartTask(begin)).await.unwrap();
    replica.release(&lease).await;
    let other = replica.lease("other").await;
    assert_eq!(other.lease.account_id, own, "the job's account has no slot left");
    let handle = replica.handle.clone();
    let poll = tokio::spawn(async move {
        let again = Command::SelectKey(select("job", "", ""));
        handle.submit_waiting(again, "", (&text(ACTOR), None), Wait(Duration::from_secs(60))).await
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!poll.is_finished(), "the job waits for its account");
    replica.add("b", 1).await;
    let passed = replica.lease("passing").await;
    assert_ne!(passed.lease.account_id, own);
    assert!(!poll.is_finished(), "another account cannot tell it how its job ended");
    replica.release(&other).await;
    assert_eq!(told(poll).await.lease.account_id, own);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_runs_already_is_served_before_those_who_wait_for_their_first_key() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 1).await;
    let lease = replica.lease("job").await;
    let lease_id = Arc::clone(&lease.lease.lease_id);
    let begin = StartTask { lease_id, key_id: text(""), ..start("job", "online-1") };
    replica.submit(Command::StartTask(begin)).await.unwrap();
    let _waiting = replica.park("waiting").await;
    let taken_over = replica.select("job", "another runner", 0).await.unwrap().lease.unwrap();
    assert_eq!((taken_over.lease.fence, taken_over.lease.account_id), (2, lease.lease.account_id));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_by_another_runner_is_not_told_the_lease_that_took_its_place() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 2).await;
    let mine = replica.lease("job").await;
    assert!(mine.api_key.is_some());
    replica.select("job", "another runner", 0).await.unwrap();
    let replay = replica.charge("job", 0).await.unwrap();
    assert!(replay.replayed);
    let told = replay.lease.filter(|lease| lease.api_key.is_some());
    assert!(told.is_none(), "whose key would be used twice");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_could_not_be_opened_serves_as_soon_as_it_is_stored_anew() {
    let world = World::new();
    let stranger = world.replica_with(keyring(8));
    stranger.fund().await;
    let account = stranger.add("a", 1).await;
    let replica = world.replica();
    for _ in 0..2 {
        let refused = replica.charge("job", 0).await;
        assert!(
            matches!(&refused, Err(EngineError::Rejected(Rejection::SecretUnavailable { .. }))),
            "{refused:?}"
        );
    }
    let key = FalKey::new("key-a:secret".to_owned()).unwrap();
    let key = replica.handle.seal(key, Purpose::Lease).unwrap();
    replica.change(account, AccountChanges { key: Some(key), ..AccountChanges::default() }).await;
    assert_eq!(replica.lease("job").await.api_key.unwrap().expose(), "key-a:secret");
}

#[tokio::test(start_paused = true)]
async fn a_charge_whose_account_was_deleted_meanwhile_is_answered_without_its_key() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    let account = replica.add("a", 1).await;
    let lease = replica.lease("job").await;
    let delete = Keys::Delete { account_id: account, reason: text("") };
    replica.handle.keys(delete, "", &text(ACTOR), None).await.unwrap();
    let replay = replica.charge("job", 0).await.unwrap();
    assert!(replay.replayed);
    let told = replay.lease.unwrap();
    assert_eq!(told.lease.lease_id, lease.lease.lease_id);
    assert!(told.api_key.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hold_past_its_time_is_captured_while_a_runner_holds_a_key_for_it() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    replica.add("a", 1).await;
    for (task_id, keeps) in [("released", false), ("leased", true)] {
        let hold = Command::Authorize(Authorize { ttl_micros: Some(60 * SECOND), ..authorize(task_id, 10) });
        replica.submit(hold).await.unwrap();
        let lease = replica.select(task_id, "", 0).await.unwrap().lease.unwrap();
        if !keeps {
            replica.release(&lease).await;
        }
    }
    world.clock.advance(61 * SECOND);
    let late = replica.submit(Command::Capture(capture("released", 5))).await;
    assert!(matches!(late, Err(EngineError::Rejected(Rejection::HoldExpired { .. }))), "{late:?}");
    replica.submit(Command::Capture(capture("leased", 5))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_charge_whose_account_is_deleted_in_its_own_batch_is_told_as_done() {
    let world = World::new();
    let replica = world.replica();
    replica.fund().await;
    let account = replica.add("a", 2).await;
    replica.release(&replica.lease("warm").await).await;
    let gate = Gate::closed();
    world.model.faults().script([Fault::as_usual().held_by(&gate)]);
    let held = tokio::spawn(charge_on(replica.handle.clone(), "held".to_owned(), 0));
    gate.arrivals(1).await;
    let call = tokio::spawn(charge_on(replica.handle.clone(), "job".to_owned(), 0));
    tokio::task::yield_now().await;
    let handle = replica.handle.clone();
    let delete = Keys::Delete { account_id: account, reason: text("gone") };
    let deleted = tokio::spawn(async move { handle.keys(delete, "", &text(ACTOR), None).await });
    tokio::task::yield_now().await;
    gate.open();
    told(held).await;
    deleted.await.unwrap().unwrap();
    // Simulation, seed 657: told SECRET_UNAVAILABLE, which says that nothing was written. The secret is gone; that the
    // user was charged is not.
    let lease = told(call).await;
    assert_eq!((lease.state, lease.api_key.is_none()), (LeaseState::Active, true));
    let replay = replica.charge("job", 0).await.unwrap();
    assert_eq!((replay.replayed, replay.lease.unwrap().lease), (true, lease.lease));
}
