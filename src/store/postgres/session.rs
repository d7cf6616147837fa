//! How a transaction begins and how a statement is sent: directly to PostgreSQL, or through a pooler that hands each
//! transaction to whichever server session is free (PgBouncer's `pool_mode = transaction`).
//!
//! | | direct | through such a pooler |
//! |---|---|---|
//! | settings | of the session, once | of each transaction, in the message that begins it |
//! | statements | named, parsed and planned once | unnamed, parsed each time: a name is known to one session alone |
//! | a lone statement | is its own transaction | stands between BEGIN and COMMIT: it is sent in two halves |
//! | migrations | under a session's advisory lock | refused |
//!
//! A connection tells by itself which statements it takes: a direct one has kept its first, which set its session, and
//! one through a pooler keeps none.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgTransaction, Postgres, SqlSafeStr, SqlStr};

use super::connect::{LOCK_WAIT, READER_IDLE, Target, WRITER_IDLE, deadline, millis};
use super::error::{Trouble, within};

pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How long one step of a run's evidence may take: the first page of a month's tasks is there when all are sorted.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// What a transaction is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// To look at the server and its tables when the store is opened.
    Check,
    /// To write; READ COMMITTED whatever the database's default is.
    Write,
    /// To read.
    Read,
    /// To read everything as of one moment.
    Snapshot,
    /// Likewise what a run of reconciliation judges, at leisure.
    Evidence,
}

impl Purpose {
    const fn begin(self) -> &'static str {
        match self {
            Purpose::Check => "BEGIN",
            Purpose::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Purpose::Read => "BEGIN READ ONLY",
            Purpose::Snapshot | Purpose::Evidence => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// The words that begin each kind of transaction and bring its settings with them.
#[derive(Debug)]
pub(super) struct Openings {
    check: String,
    write: String,
    read: String,
    snapshot: String,
    evidence: String,
}

impl Openings {
    /// For statements that may take so long.
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        let own = |sql: &str, values: &[String]| {
            // As in the session's own file, but until the transaction ends.
            let mut sql = sql.replace(", false)", ", true)");
            for (number, value) in (1..).zip(values) {
                sql = sql.replace(&format!("${number}"), &format!("'{value}'"));
            }
            sql
        };
        let check = own(include_str!("sql/session_migration.sql"), &[]);
        let write = [deadline(limit), millis(LOCK_WAIT.min(limit / 2)), millis(WRITER_IDLE)];
        let write = own(include_str!("sql/session_writer.sql"), &write);
        let read = own(include_str!("sql/session_reader.sql"), &[deadline(limit), millis(READER_IDLE)]);
        let evidence = own(include_str!("reconcile/sql/session_evidence.sql"), &[millis(PATIENCE)]);
        let begin = |purpose: Purpose, settings: &str| format!("{};\n{settings}", purpose.begin());
        Arc::new(Self {
            check: begin(Purpose::Check, &check),
            write: begin(Purpose::Write, &write),
            read: begin(Purpose::Read, &read),
            snapshot: begin(Purpose::Snapshot, &read),
            evidence: format!("{};\n{evidence}", begin(Purpose::Evidence, &read)),
        })
    }

    fn of(&self, purpose: Purpose) -> SqlStr {
        let words = match purpose {
            Purpose::Check => &self.check,
            Purpose::Write => &self.write,
            Purpose::Read => &self.read,
            Purpose::Snapshot => &self.snapshot,
            Purpose::Evidence => &self.evidence,
        };
        AssertSqlSafe(words.clone()).into_sql_str()
    }
}

impl Target {
    fn opening(&self, purpose: Purpose) -> SqlStr {
        match &self.pooled {
            Some(openings) => openings.of(purpose),
            None => purpose.begin().into_sql_str(),
        }
    }

    /// Begins a transaction; dropped, it rolls back.
    pub(super) async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
        purpose: Purpose,
    ) -> Result<PgTransaction<'c>, Trouble> {
        within(self.limit, connection.begin_with(self.opening(purpose))).await
    }

    /// Begins a transaction that lasts as long as its connection.
    pub(super) async fn begin_for_good(
        &self,
        connection: &mut PgConnection,
        purpose: Purpose,
    ) -> Result<(), Trouble> {
        let opening = sqlx::raw_sql(self.opening(purpose));
        within(self.limit, opening.execute(connection)).await.map(drop)
    }

    /// Runs a statement that is a transaction of its own, and answers its rows. Whoever sees it fail drops the
    /// connection.
    pub(super) async fn rows_alone(
        &self,
        connection: &mut PgConnection,
        purpose: Purpose,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, Trouble> {
        if self.pooled.is_none() {
            return rows(connection, self.limit, statement).await;
        }
        let mut transaction = self.begin(connection, purpose).await?;
        let found = rows(&mut transaction, self.limit, statement).await?;
        within(self.limit, transaction.commit()).await.map(|()| found)
    }

    /// Likewise, and answers how many rows it wrote.
    pub(super) async fn execute_alone(
        &self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<u64, Trouble> {
        if self.pooled.is_none() {
            return execute(connection, self.limit, statement).await;
        }
        let mut transaction = self.begin(connection, Purpose::Write).await?;
        let written = execute(&mut transaction, self.limit, statement).await?;
        within(self.limit, transaction.commit()).await.map(|()| written)
    }
}

/// A statement in the form that its connection takes.
fn fit<'q>(connection: &PgConnection, statement: Statement<'q>) -> Statement<'q> {
    let keeps_statements = connection.cached_statements_size() > 0;
    statement.persistent(keeps_statements)
}

/// Runs a statement under the client's limit and answers its rows.
pub(super) async fn rows(
    connection: &mut PgConnection,
    limit: Duration,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, Trouble> {
    within(limit, fit(connection, statement).fetch_all(connection)).await
}

/// Likewise, and answers its one row.
pub(super) async fn row(
    connection: &mut PgConnection,
    limit: Duration,
    statement: Statement<'_>,
) -> Result<PgRow, Trouble> {
    within(limit, fit(connection, statement).fetch_one(connection)).await
}

/// Likewise, and answers its first row if it has one.
pub(super) async fn row_or_none(
    connection: &mut PgConnection,
    limit: Duration,
    statement: Statement<'_>,
) -> Result<Option<PgRow>, Trouble> {
    within(limit, fit(connection, statement).fetch_optional(connection)).await
}

/// Likewise, and answers how many rows it wrote.
pub(super) async fn execute(
    connection: &mut PgConnection,
    limit: Duration,
    statement: Statement<'_>,
) -> Result<u64, Trouble> {
    let done = within(limit, fit(connection, statement).execute(connection)).await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_come_with_a_transaction_end_with_it_and_leave_nothing_to_bind() {
        let openings = Openings::new(Duration::from_secs(10));
        for words in
            [&openings.check, &openings.write, &openings.read, &openings.snapshot, &openings.evidence]
        {
            assert!(words.starts_with("BEGIN") && words.contains(", true)"), "{words}");
            assert!(!words.contains('$') && !words.contains(", false)"), "{words}");
        }
        assert!(
            openings.write.contains("set_config('statement_timeout', '11000', true)"),
            "{}",
            openings.write
        );
        assert!(openings.write.contains("set_config('synchronous_commit'"), "{}", openings.write);
        assert!(openings.read.starts_with("BEGIN READ ONLY;"), "{}", openings.read);
    }
}
