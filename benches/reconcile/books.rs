//! The database of a measurement: a store, its clock, an account at a fake fal, and a connection beside the store.

use std::sync::Arc;
use std::time::Duration;

use scrip::clock::{Clock, System};
use scrip::engine::{self, Engine};
use scrip::fal::fake::{Event, FakeFal, Workspace};
use scrip::fal::{Client, Config};
use scrip::keypool::{AllowList, Command, NewAccount, Purpose};
use scrip::ledger::{Micros, Text};
use scrip::reconcile::{Options, Reconciler};
use scrip::store::{Store, postgres, sqlite};
use scrip::vault::{FalKey, KekId, Keyring};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::month::{KEY_ID, MODEL, Month, WORKSPACE};

/// The id of the one account: the first there is.
pub const ACCOUNT_ID: i64 = 1;

/// A clock that stands long after the month: all of it is due.
struct Later;

impl Clock for Later {
    fn now(&self) -> Micros {
        Month::new(1).end().plus(60 * crate::month::DAY)
    }
}

enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

pub struct Books {
    pub store: Arc<dyn Store>,
    raw: Raw,
    engine: Engine,
    fal: FakeFal,
    _folder: Option<tempfile::TempDir>,
}

impl Books {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scrip.db");
        let options = sqlite::Options::new(Arc::new(Later));
        let store = sqlite::open(&path.display().to_string(), options).await.expect("a database");
        let raw = SqliteConnectOptions::new().filename(path).connect().await.expect("a connection");
        Self::over(store, Raw::Sqlite(raw), Some(folder)).await
    }

    /// `None` where PostgreSQL is left out, which has then been said.
    pub async fn postgres() -> Option<Self> {
        let url = crate::postgres::shared()?.fresh_database().await;
        let options = postgres::Options { migrate: true, ..postgres::Options::default() };
        let store = postgres::open(&url, options).await.expect("a database");
        let mut raw = crate::postgres::connect(&url).await;
        sqlx::query("SET TimeZone = 'UTC'").execute(&mut raw).await.expect("a setting");
        Some(Self::over(store, Raw::Postgres(raw), None).await)
    }

    async fn over(store: Arc<dyn Store>, raw: Raw, folder: Option<tempfile::TempDir>) -> Self {
        let keyring = Arc::new(Keyring::generate(KekId::new("k1").expect("an id"), [7; 32]));
        let options = engine::Options { keyring, ..engine::Options::default() };
        let engine = Engine::start(&*store, System::ids(), options);
        let fal = FakeFal::start().await.expect("a fake fal");
        let books = Self { store, raw, engine, fal, _folder: folder };
        books.account().await;
        books
    }

    async fn account(&self) {
        let handle = self.engine.handle();
        let key = FalKey::new(format!("{KEY_ID}:secret")).expect("a key");
        let new = NewAccount {
            name: WORKSPACE.into(),
            key: handle.seal(key, Purpose::Lease).expect("sealed"),
            billing_key: None,
            workspace: WORKSPACE.into(),
            max_concurrency: 10,
            priority: 0,
            weight: 100,
            allowed_apps: AllowList::default(),
            remark: Text::default(),
            balance_nano_usd: None,
        };
        handle.keys(Command::Create(new), "", &Text::from("bench"), None).await.expect("an account");
    }

    /// Lets fal bill all of the month, and list none of it: the events are there already.
    pub fn bill(&self, month: Month) {
        let thousandths = month.bill_milli_usd();
        let total = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        let usage = Event::new("all", MODEL, month.start().0)
            .units(&month.tasks.to_string(), "images")
            .price("0.025")
            .total(&total);
        let workspace = Workspace::new(WORKSPACE, "50").key(&format!("{KEY_ID}:secret")).unexplained(usage);
        self.fal.world().add(workspace);
    }

    pub fn reconciler(&self) -> Reconciler {
        let config = Config { base_url: self.fal.base_url(), allow_loopback: true, ..Config::default() };
        let client = Client::new(config, System::clock()).expect("a client");
        let options = Options { poll_every: Duration::from_millis(20), ..Options::default() };
        let holder = Uuid::from_bytes(System::secret_bytes());
        Reconciler::start(&*self.store, self.engine.handle(), client, holder, options)
            .expect("a store of runs")
    }

    /// A statement that both dialects know.
    pub async fn execute(&mut self, sql: String) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        let done = match &mut self.raw {
            Raw::Sqlite(raw) => sql.execute(raw).await.map(drop),
            Raw::Postgres(raw) => sql.execute(raw).await.map(drop),
        };
        done.expect("a statement");
    }

    /// Bytes as the dialect spells them.
    pub fn bytes(&self, bytes: &[u8]) -> String {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.raw {
            Raw::Sqlite(_) => format!("x'{digits}'"),
            Raw::Postgres(_) => format!("'\\x{digits}'"),
        }
    }

    pub async fn close(self) {
        match self.raw {
            Raw::Sqlite(raw) => raw.close().await.expect("closed"),
            Raw::Postgres(raw) => raw.close().await.expect("closed"),
        }
        self.engine.drain().await;
        self.store.close().await;
    }
}
