//! The real database: a PostgreSQL of the run's own, or a SQLite file; and the direct way in, past all proxies, for
//! whoever breaks it or looks at it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use tokio::process::Command;

use super::process::with_children;
use crate::support::postgres::Cluster;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

pub(crate) enum Database {
    Postgres(Box<Cluster>, String),
    Sqlite(PathBuf),
}

impl Database {
    /// The URL without any proxy.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(_, url) => url.clone(),
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
        }
    }

    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Postgres(cluster, _) => Some(cluster),
            Self::Sqlite(_) => None,
        }
    }

    /// Makes sure that it runs, whatever was done to it.
    pub(crate) async fn ensure_running(&self) -> Result<(), String> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        let mut last = String::new();
        for _ in 0..120 {
            if let Ok(connection) = postgres(&self.url()).await {
                connection.close().await.ok();
                return Ok(());
            }
            if let Err(why) = cluster.try_pg_ctl(&["start"]).await {
                last = why;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        Err(format!("PostgreSQL does not come back: {last}"))
    }

    /// Every process of it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.cluster().and_then(Cluster::postmaster).map(with_children).unwrap_or_default()
    }

    /// Has PostgreSQL begin another segment of its log, if it can.
    pub(crate) async fn switch_log(&self) {
        if let Self::Postgres(_, url) = self
            && let Ok(mut connection) = postgres(url).await
        {
            let switch = sqlx::query("SELECT pg_switch_wal()").execute(&mut connection);
            tokio::time::timeout(CONNECT_WITHIN, switch).await.ok();
        }
    }

    /// Turns `default_transaction_read_only` on or off, for sessions that are open as well.
    pub(crate) async fn read_only(&self, on: bool) -> Result<(), sqlx::Error> {
        let mut connection = postgres(&self.url()).await?;
        let sql = if on {
            "ALTER SYSTEM SET default_transaction_read_only = on"
        } else {
            "ALTER SYSTEM RESET default_transaction_read_only"
        };
        sqlx::query(sql).execute(&mut connection).await?;
        sqlx::query("SELECT pg_reload_conf()").execute(&mut connection).await?;
        connection.close().await
    }
}

/// A connection of an administrator's: it may write even where that is turned off.
pub(crate) async fn postgres(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.options([("default_transaction_read_only", "off")]);
    let connect = tokio::time::timeout(CONNECT_WITHIN, options.connect());
    connect.await.unwrap_or_else(|_| Err(sqlx::Error::Protocol("no answer to a connection".into())))
}

/// A connection to the file, beside the server's.
pub(crate) async fn sqlite(path: &Path, read_only: bool) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(read_only);
    options.busy_timeout(Duration::from_secs(2)).connect().await
}

/// A file system whose size can be taken away and given back.
#[derive(Debug)]
pub(crate) struct Disk {
    mount: PathBuf,
    bytes: u64,
}

impl Disk {
    pub(crate) const fn new(mount: PathBuf, bytes: u64) -> Self {
        Self { mount, bytes }
    }

    /// Leaves no room but for some pages.
    pub(crate) async fn fill(&self, spare: u64) -> Result<(), String> {
        let used = self.used().await?;
        self.resize(used + spare).await
    }

    pub(crate) async fn free(&self) -> Result<(), String> {
        self.resize(self.bytes).await
    }

    async fn used(&self) -> Result<u64, String> {
        let output = Command::new("df")
            .args(["--output=used", "-B1"])
            .arg(&self.mount)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|why| why.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().nth(1).and_then(|line| line.trim().parse().ok()).ok_or(text)
    }

    async fn resize(&self, bytes: u64) -> Result<(), String> {
        let output = Command::new("mount")
            .args(["-o", &format!("remount,size={bytes}")])
            .arg(&self.mount)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|why| why.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
