//! The PostgreSQL store against a real server: opening, batches, reading.

#![allow(clippy::unwrap_used)]

mod batches;
mod keys;
mod keys_reading;
mod keys_writing;
mod opening;
mod pool;
mod reading;
mod statements;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use scrip::ledger::command::{Charge, Credit};
use scrip::ledger::decide::Outcome;
use scrip::ledger::{
    Command, Footprint, Funding, Limits, Plan, Purse, Snapshot, SourceType, Submission, Text, UserId, Work,
    decide,
};
use scrip::store::postgres::{Options, open};
use scrip::store::{Run, Store, Transacted, Writer};
use uuid::Uuid;

/// Options of a store that makes its tables.
fn migrating() -> Options {
    Options { migrate: true, ..Options::default() }
}

/// As [`migrating`], with little patience.
fn impatient() -> Options {
    Options { statement_timeout: Duration::from_millis(800), ..migrating() }
}

async fn fresh() -> Option<(String, Arc<dyn Store>)> {
    let url = support::postgres::shared()?.fresh_database().await;
    let store = open(&url, migrating()).await.unwrap();
    Some((url, store))
}

/// A new batch id, later than all before it.
fn batch_id() -> Uuid {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    uuid::Builder::from_unix_timestamp_millis(1_700_000_000_000 + number, &[7; 10]).into_uuid()
}

fn text(value: &str) -> Text {
    Text::from(value)
}

fn work(command: Command, request_id: &str) -> Work {
    Work::One(Submission::new(command, request_id, &text("tests"), &Limits::default()).unwrap())
}

fn credit(user_id: UserId, amount: i64, purse: Purse, request_id: &str) -> Work {
    let source_type = match purse {
        Purse::Points => SourceType::Recharge,
        Purse::Cash => SourceType::AgentRevenue,
    };
    let (order_id, title) = (text("order"), text("top-up"));
    let credit = Credit { user_id, amount, purse, source_type, order_id, title, pay_type: 2 };
    work(Command::Credit(credit), request_id)
}

fn charge_of(user_id: UserId, task_id: &str, amount: i64) -> Charge {
    Charge {
        user_id,
        task_id: text(task_id),
        amount,
        app_name: text("fal-ai/flux/dev"),
        task_type: text("image"),
        title: text("一张图 🎨"),
        input_params: text(r#"{"prompt": "it's a \"test\", {NULL}"}"#),
        funding: Funding::PointsThenCash,
        deployment_uuid: text("d-1"),
        pay_type: 3,
        select_key: None,
    }
}

fn charge(user_id: UserId, task_id: &str, amount: i64) -> Work {
    work(Command::Charge(charge_of(user_id, task_id, amount)), "")
}

/// What a batch came to: how it ended, and what its last decision was.
struct Batch {
    ended: Transacted,
    plan: Plan,
    outcomes: Vec<Outcome>,
}

impl Batch {
    fn committed(self) -> Self {
        assert!(matches!(self.ended, Transacted::Committed), "{:?}", self.ended);
        self
    }
}

/// Runs a batch once; `tamper` may change what the store has read before it is decided on.
async fn run_with(
    writer: &mut dyn Writer,
    id: Uuid,
    run: Run,
    batch: &[Work],
    tamper: impl Fn(&mut Snapshot) + Send + Sync,
) -> Batch {
    let footprint = Footprint::of(batch).into();
    let (mut plan, mut outcomes) = (Plan::default(), Vec::new());
    let mut deciding = |snapshot: scrip::store::Snapshot| {
        let mut snapshot = snapshot.ledger;
        tamper(&mut snapshot);
        let decision = decide(snapshot, batch);
        outcomes = decision.outcomes.into_iter().flatten().collect();
        plan = decision.plan.clone();
        decision.plan.into()
    };
    let ended = writer.transact(id, run, &footprint, &mut deciding).await;
    Batch { ended, plan, outcomes }
}

/// Runs a new batch.
async fn run(writer: &mut dyn Writer, batch: &[Work]) -> Batch {
    run_with(writer, batch_id(), Run::First, batch, |_| {}).await
}
