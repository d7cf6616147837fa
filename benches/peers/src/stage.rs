//! What the contenders meet on: one prepared database of each kind, of which every turn gets a fresh copy.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::{self, StreamExt};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::load::connect;
use crate::options::Options;
use crate::pb::billing_service_client::BillingServiceClient;
use crate::pb::key_service_client::KeyServiceClient;
use crate::pb::{BatchChargeRequest, ChargeRequest, CreateAccountRequest, CreditRequest, Purse, SourceType};
use crate::postgres::{self, Cluster};
use crate::process::{Link, Server, run_scrip};

/// What a user begins with: the most that one credit takes.
const POINTS: i64 = 1_000_000_000_000;
/// fal accounts in every database, each with as many slots as fal ever grants.
const ACCOUNTS: u32 = 100;
const MAX_CONCURRENCY: i32 = 40;
/// Charges a call while a database is filled.
const FILL: u32 = 5_000;

/// The same for everybody; `fsync`, `synchronous_commit` and `full_page_writes` are on, as always.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("wal_buffers", "64MB"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Postgres,
    Sqlite,
}

impl Store {
    pub const BOTH: [Self; 2] = [Self::Postgres, Self::Sqlite];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// A database of one's own; it is removed at the end with everything else.
#[derive(Clone, Debug)]
pub struct Database {
    pub store: Store,
    pub url: String,
    /// Of a caller that may do anything; empty where none was made.
    pub token: String,
    name: String,
}

pub struct Stage {
    cluster: Cluster,
    folder: tempfile::TempDir,
    prepared: Vec<Database>,
    next: AtomicU32,
}

impl Stage {
    /// `None` where PostgreSQL is left out, which has then been said.
    pub async fn set(options: &Options) -> Option<Self> {
        let cluster = Cluster::start_with(&SETTINGS)?;
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut stage = Self { cluster, folder, prepared: Vec::new(), next: AtomicU32::new(1) };
        for store in Store::BOTH {
            let database = stage.empty(store).await;
            eprintln!("{}: {} users with credit", store.name(), options.users);
            stage.prepare(&database, options.users).await;
            stage.prepared.push(database);
        }
        Some(stage)
    }

    /// An empty database, migrated.
    async fn empty(&self, store: Store) -> Database {
        let mut database = self.name(store);
        if store == Store::Postgres {
            self.cluster.create_database(&database.name).await;
        }
        let url = &database.url;
        run_scrip(&["migrate", "--database-url", url]).await;
        database.token =
            run_scrip(&["tokens", "create", "bench", "--role", "admin", "--database-url", url]).await;
        database
    }

    /// A database with nothing in it: others have tables of their own.
    #[cfg(feature = "peers")]
    pub async fn blank(&self, store: Store) -> Database {
        let database = self.name(store);
        if store == Store::Postgres {
            self.cluster.create_database(&database.name).await;
        }
        database
    }

    /// One that is not there yet.
    pub fn name(&self, store: Store) -> Database {
        let name = format!("bench_{}", self.next.fetch_add(1, Ordering::Relaxed));
        let url = match store {
            // The socket for everybody: it is what `pgbench` is best with.
            Store::Postgres => self.cluster.socket_url(&name),
            Store::Sqlite => format!("sqlite://{}", self.file(&name).display()),
        };
        Database { store, url, token: String::new(), name }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    async fn prepare(&self, database: &Database, users: u32) {
        let server = Server::scrip(database, &[]).await;
        let channels = connect(&server).await;
        let credits = (1..=i64::from(users)).zip(channels.iter().cycle()).map(|(user_id, channel)| {
            let mut client = BillingServiceClient::new(channel.clone());
            async move {
                let credit = CreditRequest {
                    request_id: "start".to_owned(),
                    user_id,
                    amount: POINTS,
                    purse: Purse::Points.into(),
                    source_type: SourceType::System.into(),
                    ..CreditRequest::default()
                };
                client.credit(credit).await.expect("a credit");
            }
        });
        stream::iter(credits).buffer_unordered(512).collect::<()>().await;
        let mut keys = KeyServiceClient::new(channels[0].clone());
        for number in 0..ACCOUNTS {
            let account = CreateAccountRequest {
                name: format!("bench {number}"),
                api_key: format!("bench-{number}:of-no-use"),
                max_concurrency: Some(MAX_CONCURRENCY),
                ..CreateAccountRequest::default()
            };
            keys.create_account(account).await.expect("an account");
        }
        server.stop().await;
    }

    /// A copy of the prepared database, and no write of earlier turns still to come.
    pub async fn fresh(&self, store: Store) -> Database {
        let prepared = self.prepared.iter().find(|one| one.store == store).expect("both are prepared");
        self.copy(prepared).await
    }

    /// One with other users than the prepared ones.
    pub async fn with_users(&self, store: Store, users: u32) -> Database {
        let database = self.empty(store).await;
        self.prepare(&database, users).await;
        database
    }

    /// One with so many tasks in its tables, all charged by scrip itself.
    pub async fn full(&self, store: Store, options: &Options) -> Database {
        let database = self.fresh(store).await;
        eprintln!("{}: {} tasks", store.name(), options.full);
        let server = Server::scrip(&database, &[]).await;
        let channels = connect(&server).await;
        let calls = (0..options.full.div_ceil(FILL)).zip(channels.iter().cycle()).map(|(call, channel)| {
            let client = BillingServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
            fill(client, call, options.users)
        });
        stream::iter(calls).buffer_unordered(2).collect::<()>().await;
        server.stop().await;
        database
    }

    async fn copy(&self, from: &Database) -> Database {
        let to = Database { token: from.token.clone(), ..self.name(from.store) };
        match from.store {
            Store::Postgres => {
                let mut admin = self.admin().await;
                let copy = format!("CREATE DATABASE \"{}\" TEMPLATE \"{}\"", to.name, from.name);
                for statement in [copy.as_str(), "CHECKPOINT"] {
                    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.expect("a copy");
                }
            }
            Store::Sqlite => {
                tokio::fs::copy(self.file(&from.name), self.file(&to.name)).await.expect("a copy");
            }
        }
        to
    }

    /// Removes a database that no server has open.
    pub async fn drop(&self, database: Database) {
        match database.store {
            Store::Postgres => {
                let mut admin = self.admin().await;
                let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", database.name);
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await.expect("dropped");
            }
            Store::Sqlite => {
                for end in ["", "-wal", "-shm"] {
                    let file = format!("{}{end}", self.file(&database.name).display());
                    tokio::fs::remove_file(file).await.ok();
                }
            }
        }
    }

    async fn admin(&self) -> PgConnection {
        postgres::connect(&self.cluster.url("postgres")).await
    }

    pub async fn server_version(&self) -> String {
        let mut admin = self.admin().await;
        let row = sqlx::query("SHOW server_version").fetch_one(&mut admin).await.expect("a version");
        format!("PostgreSQL {}", row.get::<String, _>(0))
    }
}

/// One BatchCharge of new tasks.
async fn fill(mut client: BillingServiceClient<Link>, call: u32, users: u32) {
    let requests = (0..FILL).map(|item| {
        let number = u64::from(call) * u64::from(FILL) + u64::from(item);
        // In no order, as the ids of the turns are.
        let digits = (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        ChargeRequest {
            user_id: 1 + i64::try_from(number % u64::from(users)).expect("a user"),
            task_id: format!("{digits:032x}"),
            amount: 1 + i64::try_from(number % 7).expect("an amount"),
            app_name: "fal-ai/flux/dev".to_owned(),
            ..ChargeRequest::default()
        }
    });
    let request = BatchChargeRequest { requests: requests.collect(), ..BatchChargeRequest::default() };
    client.batch_charge(request).await.expect("a batch");
}
