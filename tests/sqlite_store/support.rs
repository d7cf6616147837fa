//! A store in a folder of its own, a clock set by hand, and batches as the engine runs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use scrip::clock::Clock;
use scrip::ledger::command::{Authorize, Charge, CompleteTask, Credit, FailTask, Refund, StartTask};
use scrip::ledger::{
    Command, Decision, Footprint, Funding, Limits, Micros, Plan, Purse, SourceType, Submission, Text, Work,
    decide,
};
use scrip::store::sqlite::{Options, open};
use scrip::store::{Run, Store, StoreError, Transacted, Writer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use uuid::Uuid;

/// 2026-02-01 09:30:00
pub(crate) const START: i64 = 1_769_938_200_000_000;

pub(crate) struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<Hands>,
    ids: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(Hands(AtomicI64::new(START)));
        Self { folder: tempfile::tempdir().unwrap(), clock, ids: AtomicU64::new(1) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("scrip.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    pub(crate) fn options(&self) -> Options {
        Options { cache_kib: 4 << 10, ..Options::new(Arc::clone(&self.clock) as Arc<dyn Clock>) }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        open(&self.url(), self.options()).await.unwrap()
    }

    pub(crate) async fn refusal(&self) -> String {
        refusal(open(&self.url(), self.options()).await.map(|_| ()))
    }

    /// A connection that knows nothing of the store.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).create_if_missing(true).connect().await.unwrap()
    }

    pub(crate) fn tick(&self, micros: i64) {
        self.clock.0.fetch_add(micros, Ordering::SeqCst);
    }

    pub(crate) fn batch_id(&self) -> Uuid {
        let number = self.ids.fetch_add(1, Ordering::SeqCst);
        let millis = u64::try_from(self.clock.now().0 / 1_000).unwrap();
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&number.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }

    /// Runs one batch that must be committed.
    pub(crate) async fn commit(&self, writer: &mut Box<dyn Writer>, work: &[Work]) -> Decision {
        let (ended, decision) = transact(writer, self.batch_id(), Run::First, work).await;
        assert!(matches!(ended, Transacted::Committed), "{ended:?}");
        decision.unwrap()
    }
}

pub(crate) fn refusal(opened: Result<(), StoreError>) -> String {
    match opened {
        Err(StoreError::Refused(why)) => why,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

pub(crate) async fn execute(connection: &mut SqliteConnection, sql: &str) -> Result<u64, sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|done| done.rows_affected())
}

pub(crate) async fn number(connection: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap()
}

pub(crate) async fn transact(
    writer: &mut Box<dyn Writer>,
    batch_id: Uuid,
    run: Run,
    work: &[Work],
) -> (Transacted, Option<Decision>) {
    let mut decision = None;
    let ended = writer
        .transact(batch_id, run, &Footprint::of(work).into(), &mut |snapshot| {
            let decided = decide(snapshot.ledger, work);
            let plan: Plan = decided.plan.clone();
            decision = Some(decided);
            plan.into()
        })
        .await;
    (ended, decision)
}

pub(crate) fn work(command: Command, request_id: &str) -> Work {
    let limits = Limits::default();
    Work::One(Submission::new(command, request_id, &Text::from("test"), &limits).unwrap())
}

pub(crate) fn credit(user_id: i64, purse: Purse, amount: i64, request_id: &str) -> Work {
    let credit = Credit {
        user_id,
        amount,
        purse,
        source_type: SourceType::Recharge,
        order_id: Text::from("order-1"),
        title: Text::from("充值"),
        pay_type: 2,
    };
    work(Command::Credit(credit), request_id)
}

pub(crate) fn charge_of(user_id: i64, task_id: &str, amount: i64) -> Charge {
    Charge {
        user_id,
        task_id: Text::from(task_id),
        amount,
        app_name: Text::from("fal-ai/flux/schnell"),
        task_type: Text::from("image"),
        title: Text::from("an image"),
        input_params: Text::from(r#"{"prompt":"a cat, \"sitting\""}"#),
        funding: Funding::PointsThenCash,
        deployment_uuid: Text::from("deployment-7"),
        pay_type: 1,
        select_key: None,
    }
}

pub(crate) fn charge(user_id: i64, task_id: &str, amount: i64) -> Work {
    work(Command::Charge(charge_of(user_id, task_id, amount)), "")
}

pub(crate) fn authorize(user_id: i64, task_id: &str, amount: i64, ttl_micros: i64) -> Work {
    let charge = charge_of(user_id, task_id, amount);
    work(Command::Authorize(Authorize { charge, ttl_micros: Some(ttl_micros) }), "")
}

pub(crate) fn start(user_id: i64, task_id: &str, online_task_id: &str) -> Work {
    let start = StartTask {
        user_id,
        task_id: Text::from(task_id),
        online_task_id: Text::from(online_task_id),
        key_id: Text::from("key-1"),
        lease_id: Text::from(""),
    };
    work(Command::StartTask(start), "")
}

pub(crate) fn complete(user_id: i64, task_id: &str, output: &str) -> Work {
    let complete = CompleteTask {
        user_id,
        task_id: Text::from(task_id),
        online_task_id: Text::from("online-2"),
        output_params: Text::from(output),
        cost_nano_usd: Some(90_240_000),
        billable_units: Text::from("8.44"),
        capture_amount: None,
        lease_id: Text::from(""),
    };
    work(Command::CompleteTask(complete), "")
}

pub(crate) fn fail(user_id: i64, task_id: &str) -> Work {
    let fail = FailTask {
        user_id,
        task_id: Text::from(task_id),
        online_task_id: Text::from(""),
        error: Text::from("upstream said no"),
        no_refund: false,
        lease_id: Text::from(""),
        report: Default::default(),
    };
    work(Command::FailTask(fail), "")
}

pub(crate) fn refund(user_id: i64, task_id: &str, amount: i64, request_id: &str) -> Work {
    let refund =
        Refund { user_id, task_id: Text::from(task_id), amount: Some(amount), reason: Text::from("sorry") };
    work(Command::Refund(refund), request_id)
}
