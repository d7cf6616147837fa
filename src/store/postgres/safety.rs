//! Whether the server keeps what it acknowledges: asked before a service begins, of the settings that its role and
//! database come with. The writers' own sessions are set right, yet a pooler between may hand their transactions to
//! sessions that are not.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::super::StoreError;
use super::error::store_error;
use super::session;

/// What a database must promise before it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safety {
    /// That it takes writes and that what it acknowledges survives a crash.
    #[default]
    Demanded,
    /// That it takes writes: an operator has said that the rest is of no account.
    DurabilityWaived,
    /// Nothing: for commands that look, which may well look at a standby.
    NotAsked,
}

/// The override, as an operator gives it.
const OVERRIDE: &str = "--allow-unsafe-database serves all the same";

#[derive(Debug)]
struct Settings {
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    is_read_only: bool,
    is_standby: bool,
}

/// Refuses a server that does not promise it; `place` names it.
pub(super) async fn check(
    connection: &mut PgConnection,
    limit: Duration,
    (safety, place): (Safety, &str),
) -> Result<(), StoreError> {
    const WHAT: &str = "reading the server's settings";
    if safety == Safety::NotAsked {
        return Ok(());
    }
    let asked = sqlx::query(include_str!("sql/server_safety.sql"));
    let row = session::row(connection, limit, asked).await.map_err(|trouble| trouble.store_error(WHAT))?;
    let read = || -> Result<Settings, sqlx::Error> {
        Ok(Settings {
            fsync: row.try_get("fsync")?,
            full_page_writes: row.try_get("full_page_writes")?,
            synchronous_commit: row.try_get("synchronous_commit")?,
            is_read_only: row.try_get::<String, _>("read_only")? != "off",
            is_standby: row.try_get("standby")?,
        })
    };
    let settings = read().map_err(|error| store_error(WHAT, error))?;
    match problems(&settings, safety) {
        Some(words) => Err(StoreError::Refused(format!("the database at {place} {words}"))),
        None => Ok(()),
    }
}

/// What is wrong and how it is put right, to follow the database's name.
fn problems(settings: &Settings, safety: Safety) -> Option<String> {
    if settings.is_standby {
        return Some("is a standby and takes no writes: give the address of the primary".to_owned());
    }
    if settings.is_read_only {
        return Some(
            "takes no writes of this role: ALTER ROLE … SET default_transaction_read_only = off (and likewise of \
             the database or the server, wherever it is on)"
                .to_owned(),
        );
    }
    if safety == Safety::DurabilityWaived {
        return None;
    }
    let mut found = Vec::new();
    if settings.fsync != "on" {
        found.push(
            "has fsync off: a crash of its machine can lose or corrupt what was acknowledged. Set fsync = on in \
             postgresql.conf and reload it",
        );
    }
    if settings.full_page_writes != "on" {
        found.push(
            "has full_page_writes off: a page torn by a crash stays torn. Set full_page_writes = on in \
             postgresql.conf and reload it, unless its file system writes pages whole",
        );
    }
    if settings.synchronous_commit == "off" {
        found.push(
            "has synchronous_commit off for this role: behind a pooler, commits would be acknowledged before they \
             are stored. ALTER ROLE … SET synchronous_commit = on (and likewise of the database or the server, \
             wherever it is off)",
        );
    }
    (!found.is_empty()).then(|| format!("{}; {OVERRIDE}", found.join("; it ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Settings {
        Settings {
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            is_read_only: false,
            is_standby: false,
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        assert_eq!(problems(&sound(), Safety::Demanded), None);
        for kept in ["local", "remote_write", "remote_apply"] {
            let settings = Settings { synchronous_commit: kept.to_owned(), ..sound() };
            assert_eq!(problems(&settings, Safety::Demanded), None, "{kept}");
        }
        let off = || "off".to_owned();
        let worst = Settings { fsync: off(), full_page_writes: off(), synchronous_commit: off(), ..sound() };
        let words = problems(&worst, Safety::Demanded).unwrap();
        for setting in ["fsync = on", "full_page_writes = on", "synchronous_commit = on", OVERRIDE] {
            assert!(words.contains(setting), "{setting}: {words}");
        }
        assert_eq!(problems(&worst, Safety::DurabilityWaived), None);
    }

    #[test]
    fn what_takes_no_writes_cannot_be_waived() {
        for safety in [Safety::Demanded, Safety::DurabilityWaived] {
            let standby = problems(&Settings { is_standby: true, is_read_only: true, ..sound() }, safety);
            assert!(standby.unwrap().contains("primary"));
            let read_only = problems(&Settings { is_read_only: true, ..sound() }, safety).unwrap();
            assert!(read_only.contains("default_transaction_read_only = off"), "{read_only}");
            assert!(!read_only.contains(OVERRIDE), "{read_only}");
        }
    }
}
