//! What PostgreSQL's answers mean: for the caller a [`StoreError`], for a batch a [`Failure`] or an unknown outcome.
//!
//! | answer | before COMMIT | to COMMIT |
//! |---|---|---|
//! | conflict: serialization, deadlock, lock timeout, unique violation on a listed constraint | again | again |
//! | connection lost, silent, or closed by the server (every FATAL) | again: a new connection tells more | unknown |
//! | full, read-only, too many connections, shutting down | stop | stop |
//! | anything else | stop, as a bug | stop, as a bug |

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::{Failure, StoreError, Transacted};

/// Unique violations that mean "another replica was first: read and decide again".
const CONTESTED: [&str; 15] = [
    "ts_fal_tasks_task_id",
    "ts_users_pkey",
    "scrip_requests_pkey",
    "scrip_workspaces_pkey",
    "ts_fal_account_api_key_key",
    "scrip_account_keys_pkey",
    "scrip_account_keys_lease",
    "scrip_leases_live",
    "scrip_leases_fence",
    "scrip_reconciliations_request",
    "scrip_reconciliations_attempt",
    "scrip_reconciliation_fetches_pkey",
    "scrip_billing_events_pkey",
    "scrip_leader_leases_pkey",
    "scrip_tokens_slot",
];

/// Why a statement gave no answer, or not the one it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was not answered within the client's limit; the connection is lost for us.
    Silent(Duration),
    /// The driver's or the server's error.
    Driver(sqlx::Error),
    /// It succeeded, but not as planned.
    Wrong(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Trouble::Driver(error)
    }
}

/// Runs one step of the conversation under the client-side limit. Whoever sees it fail drops the connection.
pub(super) async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, step).await {
        Ok(answer) => answer.map_err(Trouble::Driver),
        Err(_) => Err(Trouble::Silent(limit)),
    }
}

impl Trouble {
    /// As an error of the store; `what` says what was being done.
    pub(super) fn store_error(self, what: &'static str) -> StoreError {
        match self {
            Trouble::Silent(limit) => StoreError::Unavailable {
                what,
                source: format!("no answer within {} ms", limit.as_millis()).into(),
            },
            Trouble::Wrong(text) => StoreError::Bug { what, source: text.into() },
            Trouble::Driver(error) => store_error(what, error),
        }
    }

    /// As the reason why a batch was certainly not committed: COMMIT had not been sent, or was refused.
    pub(super) fn failure(self, what: &'static str) -> Failure {
        let again = match &self {
            Trouble::Silent(_) => true,
            Trouble::Wrong(_) => false,
            Trouble::Driver(error) => match database(error) {
                Some(error) => is_fatal(error) || is_conflict(error) || error.code() == "57014",
                None => is_connection_lost(error),
            },
        };
        let error = self.store_error(what);
        if again { Failure::Again(error) } else { Failure::Stop(error) }
    }

    /// As the outcome of a batch whose COMMIT was sent.
    pub(super) fn at_commit(self) -> Transacted {
        const WHAT: &str = "commit of a batch";
        let refused = match &self {
            Trouble::Driver(error) => database(error).is_some_and(refuses_commit),
            Trouble::Silent(_) | Trouble::Wrong(_) => false,
        };
        if refused {
            Transacted::NotCommitted(self.failure(WHAT))
        } else {
            Transacted::Unknown(self.store_error(WHAT))
        }
    }

    /// Whether a unique constraint of this name was violated.
    pub(super) fn violates(&self, constraint: &str) -> bool {
        match self {
            Trouble::Driver(error) => database(error).and_then(violated) == Some(constraint),
            Trouble::Silent(_) | Trouble::Wrong(_) => false,
        }
    }
}

/// The server's own error, if it is one.
pub(super) fn database(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// What a driver's error means to the store.
pub(super) fn store_error(what: &'static str, error: sqlx::Error) -> StoreError {
    use StoreError::{Bug, Conflict, Damaged, Full, ReadOnly, Refused, Unavailable};
    let Some(answer) = database(&error) else {
        let lost = is_connection_lost(&error);
        let source = Box::new(error);
        return if lost { Unavailable { what, source } } else { Bug { what, source } };
    };
    let (conflict, fatal) = (is_conflict(answer), is_fatal(answer));
    let code = answer.code().to_owned();
    let source = Box::new(error);
    match code.as_str() {
        _ if conflict => Conflict { what, source },
        "25006" => ReadOnly { what, source },
        "53100" => Full { what, source },
        "XX001" | "XX002" | "58030" => Damaged { what, source },
        "42501" => Refused(format!(
            "the database role may not do what this takes ({what}): run `scrip migrate --grant-to ROLE` with the role \
             that owns the tables; and it needs USAGE on their schema"
        )),
        _ if fatal => Unavailable { what, source },
        // Out of connections or memory; canceled; shutting down or starting; the connection itself.
        code if code.starts_with("53") || code.starts_with("57") || code.starts_with("08") => {
            Unavailable { what, source }
        }
        _ => Bug { what, source },
    }
}

/// Whether no state of the connection explains it but that it is gone. What cannot be decoded is a bug instead.
fn is_connection_lost(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    matches!(
        error,
        Error::Io(_)
            | Error::Tls(_)
            // The server, or a pooler before it, answered out of turn: nothing more can be said on this connection.
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed
    )
}

fn is_conflict(error: &PgDatabaseError) -> bool {
    match error.code() {
        // Serialization failure, deadlock, lock not available in time.
        "40001" | "40P01" | "55P03" => true,
        // Another replica has migrated under us: a new connection prepares its statements anew.
        "0A000" => error.routine() == Some("RevalidateCachedQuery"),
        _ => violated(error).is_some_and(|name| CONTESTED.contains(&name)),
    }
}

/// The unique constraint that a row ran into. What Citus copies to a worker fails with its name in the message alone.
fn violated(error: &PgDatabaseError) -> Option<&str> {
    let name = match error.code() {
        "23505" => error.constraint()?,
        "XX000" => {
            let rest = error.message().strip_prefix("duplicate key value violates unique constraint \"")?;
            rest.strip_suffix('"')?
        }
        _ => return None,
    };
    Some(of_its_table(name))
}

/// A shard's constraint has its table's name for it, and the shard's number.
fn of_its_table(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((of_table, shard)) if shard.bytes().all(|byte| byte.is_ascii_digit()) => of_table,
        _ => name,
    }
}

/// The server closes the connection with such an error: terminated, shutting down, idle for too long.
fn is_fatal(error: &PgDatabaseError) -> bool {
    matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
}

/// An ordinary error in answer to COMMIT: the transaction was rolled back. Not so where the session ended meanwhile,
/// or where the server itself does not know (40003, class 08).
fn refuses_commit(error: &PgDatabaseError) -> bool {
    !is_fatal(error)
        && error.code() != "40003"
        && !error.code().starts_with("08")
        && !matches!(error.code(), "57P01" | "57P02")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_of_a_shard_is_known_by_the_name_that_its_table_has_for_it() {
        assert_eq!(of_its_table("ts_users_pkey_102010"), "ts_users_pkey");
        for name in CONTESTED {
            assert_eq!(of_its_table(name), name);
        }
    }
}
