//! Connections: where to, how protected, and what each session is set to.
//!
//! TLS follows the URL's `sslmode` (or `PGSSLMODE`), in sqlx's meaning: `verify-full` checks certificate and name,
//! `verify-ca` the certificate, `require` encrypts without checking whom it speaks to, `prefer` takes TLS if offered,
//! `disable` never. Where neither says anything: `prefer` on a unix socket or the loopback, `require` on any other
//! host, so that a password and balances never cross a network in the clear because a parameter was forgotten. `prefer`
//! and `allow` on any other host are refused: whoever sits between can answer that there is no TLS.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, PgPool};
use tokio::time::Instant;

use super::super::StoreError;
use super::error::{Trouble, database, store_error, within};
use super::session::{Openings, PATIENCE, Purpose};
use super::writer::discard;
use super::{Options, citus};

/// How long a writer waits for another's row locks, if its limit is not shorter: then the batch is decided again.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// When the server ends a writer's session that went silent inside a transaction, so that its locks do not stay: a
/// replica that froze in mid-batch holds up all others that long. Sooner than a statement's limit: whoever asks what
/// became of the batch outlasts it.
pub(super) const WRITER_IDLE: Duration = Duration::from_secs(8);
/// Likewise of a reader, whose snapshot only keeps old rows from being cleaned up.
pub(super) const READER_IDLE: Duration = Duration::from_secs(600);
/// How long a reader waits for a free connection: also for a new one, for which a busy server takes its time.
const ACQUIRE: Duration = Duration::from_secs(2);
/// How much later than the client the server gives up on a statement: it ends those that nobody waits for any more.
const GRACE: Duration = Duration::from_secs(1);
/// How long after the readers have left a server they do not leave the next one.
const STAY: Duration = Duration::from_secs(3);

/// Where the database is, and how its sessions are set. Has no `Debug`: it holds the password.
#[derive(Clone)]
pub(super) struct Target {
    options: PgConnectOptions,
    /// The limit of one statement.
    pub(super) limit: Duration,
    connect_limit: Duration,
    /// The words that begin transactions, if a pooler is between that hands each to another session.
    pub(super) pooled: Option<Arc<Openings>>,
    /// Whether the tables are distributed by Citus.
    pub(super) distributed: bool,
    /// When connections were told to go, if ever: older ones are closed when they are next asked for.
    left: Arc<Mutex<Option<Instant>>>,
}

/// A writer's connection, outside any transaction.
pub(super) struct Kept {
    pub(super) connection: PgConnection,
    /// When it was made.
    since: Instant,
}

impl Kept {
    /// It has just proved to be of a server that takes writes: what was told to go before does not mean it.
    pub(super) fn may_stay_now(&mut self) {
        self.since = Instant::now();
    }
}

impl Target {
    /// Reads the URL. Its own text is never repeated: it may hold a password.
    pub(super) fn new(url: &str, options: &Options) -> Result<Self, StoreError> {
        check_parameters(url)?;
        let (url, is_pooled) = take_pooler(url)?;
        let url = url.as_str();
        let parsed = PgConnectOptions::from_str(url).map_err(|_| {
            StoreError::Refused(
                "the database URL cannot be read: it must look like \
                 postgres://user:password@host:5432/database?sslmode=verify-full, with special characters in the \
                 password percent-encoded"
                    .to_owned(),
            )
        })?;
        let says_tls =
            names_sslmode(url) || std::env::var_os("PGSSLMODE").is_some_and(|mode| !mode.is_empty());
        let parsed = match parsed.get_ssl_mode() {
            PgSslMode::Prefer if !says_tls && !is_local(&parsed) => parsed.ssl_mode(PgSslMode::Require),
            PgSslMode::Prefer | PgSslMode::Allow if !is_local(&parsed) => {
                return Err(StoreError::Refused(format!(
                    "sslmode prefer and allow fall back to no encryption, and {} is another machine: say \
                     sslmode=verify-full in the database URL (or require, which does not check whom it speaks to); on a \
                     network you trust say sslmode=disable",
                    parsed.get_host()
                )));
            }
            _ => parsed,
        };
        let parsed = parsed.application_name(&options.application_name);
        Ok(Self {
            // A pooler refuses a parameter of a session that it does not keep track of.
            options: if is_pooled {
                parsed.extra_float_digits(None).statement_cache_capacity(0)
            } else {
                parsed
            },
            limit: options.statement_timeout,
            connect_limit: options.connect_timeout,
            pooled: is_pooled.then(|| Openings::new(options.statement_timeout)),
            distributed: false,
            left: Arc::default(),
        })
    }

    /// The server takes no writes any more: whoever reads leaves it as well, for it may be a standby that falls behind,
    /// and the address may lead to another by now; so do writers that have not met it yet.
    pub(super) fn leave(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_none_or(|moment| moment.elapsed() > STAY) {
            *left = Some(Instant::now());
        }
    }

    /// Writes are taken again, perhaps by another server: whoever reads goes to the same one.
    pub(super) fn leave_again(&self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// `host:port/database`, or the socket's directory in the place of the host.
    pub(super) fn place(&self, database: &str) -> String {
        let port = self.options.get_port();
        match self.options.get_socket().map(|path| path.as_path()) {
            Some(socket) => format!("{}:{port}/{database}", socket.display()),
            None => format!("{}:{port}/{database}", self.options.get_host()),
        }
    }

    /// A connection for the checks and migrations when the store is opened. What keeps it from opening is said in
    /// words an operator can act on.
    pub(super) async fn connect_to_check(&self) -> Result<PgConnection, StoreError> {
        let connected = async {
            let mut connection = within(self.connect_limit, self.options.connect()).await?;
            if self.pooled.is_some() {
                // One session for all that is looked at.
                self.begin_for_good(&mut connection, Purpose::Check).await?;
            } else {
                let session = sqlx::query(include_str!("sql/session_migration.sql"));
                within(self.limit, session.execute(&mut connection)).await?;
            }
            Ok(connection)
        };
        connected.await.map_err(|trouble| self.refusal(trouble))
    }

    /// A writer's connection for its next transaction: the one that it kept, if the server is not one to be left.
    pub(super) async fn writer(&self, kept: Option<Kept>) -> Result<Kept, StoreError> {
        match kept {
            Some(kept) if self.may_stay(kept.since) => Ok(kept),
            Some(kept) => {
                discard(kept.connection).await;
                self.connect_writer().await
            }
            None => self.connect_writer().await,
        }
    }

    /// Whether what connected at that moment has not been told to go since.
    fn may_stay(&self, since: Instant) -> bool {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|left| left < since)
    }

    async fn connect_writer(&self) -> Result<Kept, StoreError> {
        const WHAT: &str = "connecting a writer";
        let unreachable = |trouble: Trouble| trouble.store_error(WHAT);
        let since = Instant::now();
        let mut connection = within(self.connect_limit, self.options.connect()).await.map_err(unreachable)?;
        if self.pooled.is_some() {
            return Ok(Kept { connection, since });
        }
        let session = sqlx::query(include_str!("sql/session_writer.sql"))
            .bind(deadline(self.limit))
            .bind(millis(LOCK_WAIT.min(self.limit / 2)))
            .bind(millis(WRITER_IDLE));
        within(self.limit, session.execute(&mut connection)).await.map_err(unreachable)?;
        if self.distributed {
            within(self.limit, citus::set(&mut connection)).await.map_err(unreachable)?;
        }
        Ok(Kept { connection, since })
    }

    /// A reader's connection outside the pool, for a snapshot that is read at leisure.
    pub(super) async fn connect_reader(&self) -> Result<PgConnection, StoreError> {
        const WHAT: &str = "connecting a reader";
        let unreachable = |trouble: Trouble| trouble.store_error(WHAT);
        let mut connection = within(self.connect_limit, self.options.connect()).await.map_err(unreachable)?;
        if self.pooled.is_none() {
            let set = set_reader(&mut connection, (self.limit, self.distributed));
            within(self.limit, set).await.map_err(unreachable)?;
        }
        Ok(connection)
    }

    /// A reader's connection with a snapshot open on it, from which a run reads what it judges.
    pub(super) async fn connect_for_evidence(&self) -> Result<PgConnection, StoreError> {
        const WHAT: &str = "beginning to read the evidence";
        let mut connection = self.connect_reader().await?;
        let begun = async {
            if self.pooled.is_none() {
                let session = sqlx::query(include_str!("reconcile/sql/session_evidence.sql"));
                within(self.limit, session.bind(millis(PATIENCE)).execute(&mut connection)).await?;
            }
            self.begin_for_good(&mut connection, Purpose::Evidence).await
        };
        begun.await.map_err(|trouble| trouble.store_error(WHAT))?;
        Ok(connection)
    }

    /// The readers' pool; it connects when it is first used.
    pub(super) fn readers(&self, size: u32) -> PgPool {
        let (is_pooled, left) = (self.pooled.is_some(), Arc::clone(&self.left));
        let of = (self.limit, self.distributed);
        PgPoolOptions::new()
            .max_connections(size.max(1))
            .acquire_timeout(ACQUIRE)
            .after_connect(move |connection, _| {
                Box::pin(async move { if is_pooled { Ok(()) } else { set_reader(connection, of).await } })
            })
            .before_acquire(move |_, of| {
                let left = *left.lock().unwrap_or_else(PoisonError::into_inner);
                let may_stay = left.is_none_or(|moment| of.age < moment.elapsed());
                Box::pin(async move { Ok(may_stay) })
            })
            .connect_lazy_with(self.options.clone())
    }

    fn refusal(&self, trouble: Trouble) -> StoreError {
        const WHAT: &str = "connecting";
        let error = match trouble {
            Trouble::Driver(error) => error,
            other => return other.store_error(WHAT),
        };
        let place = self.place(self.options.get_database().unwrap_or_else(|| self.options.get_username()));
        let user = self.options.get_username();
        match (&error, database(&error).map(|answer| answer.code())) {
            (_, Some("3D000")) => StoreError::Refused(format!(
                "the database at {place} does not exist: create it (CREATE DATABASE …) and start again"
            )),
            (_, Some("28000" | "28P01")) => StoreError::Refused(format!(
                "the database at {place} refuses the login of {user:?}: check the user, the password and sslmode in \
                 the database URL, and the server's pg_hba.conf"
            )),
            (_, Some("08P01")) if self.pooled.is_none() => StoreError::Refused(format!(
                "what answers at {place} is not PostgreSQL itself but a pooler, which refuses how scrip connects: if \
                 its pool_mode is transaction, add pgbouncer=true to the database URL; if it is session, add \
                 extra_float_digits to its ignore_startup_parameters"
            )),
            (sqlx::Error::Tls(_), _) => StoreError::Refused(format!(
                "no TLS connection to the database at {place}: the server offers none, or its certificate does not \
                 pass. Give the server a certificate (and sslrootcert in the URL); on a network you trust, add \
                 sslmode=disable to the database URL"
            )),
            _ => store_error(WHAT, error),
        }
    }
}

async fn set_reader(
    connection: &mut PgConnection,
    (limit, is_distributed): (Duration, bool),
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/session_reader.sql"))
        .bind(deadline(limit))
        .bind(millis(READER_IDLE))
        .execute(&mut *connection)
        .await?;
    if is_distributed { citus::set(connection).await } else { Ok(()) }
}

/// When the server gives up on a statement that the client waits for so long.
pub(super) fn deadline(limit: Duration) -> String {
    millis(limit + GRACE)
}

/// As PostgreSQL reads a setting without a unit.
pub(super) fn millis(duration: Duration) -> String {
    // 0 would mean no limit at all.
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

fn names_sslmode(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| matches!(pair.split('=').next(), Some("sslmode" | "ssl-mode")))
}

/// What may follow the `?` of a database URL.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    POOLER,
];

/// Says of a database URL that it leads to a pooler which hands each transaction to another session.
const POOLER: &str = "pgbouncer";

/// The URL without what only scrip reads of it, and whether it leads to such a pooler.
fn take_pooler(url: &str) -> Result<(String, bool), StoreError> {
    let Some((before, query)) = url.split_once('?') else { return Ok((url.to_owned(), false)) };
    let of_pooler = |pair: &&str| pair.split('=').next() == Some(POOLER);
    let (mine, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(of_pooler);
    let is_pooled = match mine.last().map(|pair| pair.split_once('=').map_or("", |(_, value)| value)) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            return Err(StoreError::Refused(
                "pgbouncer in the database URL is true or false: true if it leads to PgBouncer with pool_mode = \
                 transaction"
                    .to_owned(),
            ));
        }
    };
    let rest = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    Ok((format!("{before}{rest}"), is_pooled))
}

/// Refuses a parameter that the driver would ignore: a mistyped `sslmode` must not mean "without". Its value may be a
/// secret and is not repeated.
fn check_parameters(url: &str) -> Result<(), StoreError> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names =
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or(pair));
    let known =
        |name: &str| PARAMETERS.contains(&name) || name == "application_name" || name.starts_with("options[");
    match names.into_iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(StoreError::Refused(format!(
            "the database URL has a parameter that is not known: {name}. Known are {}",
            PARAMETERS.join(", ")
        ))),
    }
}

/// Whether what is sent stays on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || Path::new(host).is_absolute()
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> PgSslMode {
        Target::new(url, &Options::default()).expect("a URL").options.get_ssl_mode()
    }

    #[test]
    fn an_unknown_parameter_is_refused_and_its_value_not_repeated() {
        let url = "postgres://u@localhost/scrip?sslmod=verify-full&sslpassword=canary";
        let Err(error) = Target::new(url, &Options::default()) else { panic!("it is refused") };
        assert!(error.to_string().contains("sslmod."), "{error}");
        let Err(error) = Target::new(&url.replace("sslmod=", "sslmode="), &Options::default()) else {
            panic!("it is refused")
        };
        assert!(
            error.to_string().contains("sslpassword") && !error.to_string().contains("canary"),
            "{error}"
        );
    }

    #[test]
    fn a_url_says_whether_it_leads_to_a_pooler_and_the_driver_does_not_see_that() {
        let taken = |url: &str| take_pooler(url).expect("it can be read");
        let plain = "postgres://u@localhost/scrip".to_owned();
        assert_eq!(taken("postgres://u@localhost/scrip?pgbouncer=true"), (plain.clone(), true));
        assert_eq!(taken("postgres://u@localhost/scrip?pgbouncer=false"), (plain.clone(), false));
        assert_eq!(taken(&plain), (plain, false));
        let (rest, is_pooled) = taken("postgres://u@h/d?sslmode=disable&pgbouncer=true&user=v");
        assert_eq!((&*rest, is_pooled), ("postgres://u@h/d?sslmode=disable&user=v", true));
        let Err(refused) = Target::new("postgres://u@localhost/scrip?pgbouncer=on", &Options::default())
        else {
            panic!("it is refused")
        };
        assert!(refused.to_string().contains("true or false"), "{refused}");
    }

    #[test]
    fn a_password_never_crosses_a_network_in_the_clear_by_omission() {
        assert!(matches!(mode("postgres://u:p@db.example:5432/scrip"), PgSslMode::Require));
        assert!(matches!(mode("postgres://u:p@10.0.0.5/scrip?application_name=x"), PgSslMode::Require));
        let said = "postgres://u:p@db.example/scrip?sslmode=disable";
        assert!(matches!(mode(said), PgSslMode::Disable));
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert!(matches!(mode(&format!("postgres://u@{local}/scrip")), PgSslMode::Prefer), "{local}");
        }
        assert!(matches!(mode("postgres:///scrip?host=/var/run/postgresql"), PgSslMode::Prefer));
    }

    #[test]
    fn what_may_fall_back_to_no_encryption_is_for_this_machine_alone() {
        for said in ["prefer", "allow"] {
            let url = format!("postgres://u:p@db.example/scrip?sslmode={said}");
            let Err(refused) = Target::new(&url, &Options::default()) else { panic!("{said} is refused") };
            let words = refused.to_string();
            assert!(words.contains("db.example") && words.contains("sslmode=verify-full"), "{words}");
            assert!(
                Target::new(&url.replace("db.example", "127.0.0.1"), &Options::default()).is_ok(),
                "{said}"
            );
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        let error = Target::new("postgres://u:hunter2@host:port/x", &Options::default()).err();
        let words = error.expect("there is no such port").to_string();
        assert!(words.contains("postgres://") && !words.contains("hunter2"), "{words}");
    }

    #[test]
    fn the_locks_of_a_frozen_writer_go_before_a_statement_that_waits_for_them_is_given_up() {
        assert!(WRITER_IDLE < Options::default().statement_timeout);
    }

    #[test]
    fn no_duration_becomes_no_limit() {
        assert_eq!(millis(Duration::ZERO), "1");
        assert_eq!(millis(Duration::from_secs(10)), "10000");
        assert_eq!(millis(Duration::MAX), i32::MAX.to_string());
    }
}
