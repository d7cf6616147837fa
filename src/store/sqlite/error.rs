//! What SQLite's result codes mean for a store. Codes: <https://sqlite.org/rescode.html>.

use sqlx::sqlite::SqliteError;

use crate::store::StoreError;

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;
/// A key of a rowid table or an index, and the key of a table without a rowid.
const UNIQUE: [i32; 2] = [2067, 1555];

/// What a failed statement means. The same code may mean more at COMMIT: see the writer.
pub(super) fn store_error(what: &'static str, error: sqlx::Error) -> StoreError {
    let code = primary_code(&error);
    let unreachable = matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed
    );
    let source = Box::new(error);
    match code {
        Some(BUSY | LOCKED) => StoreError::Conflict { what, source },
        Some(FULL) => StoreError::Full { what, source },
        Some(READONLY) => StoreError::ReadOnly { what, source },
        Some(CORRUPT | NOTADB) => StoreError::Damaged { what, source },
        Some(NOMEM | INTERRUPT | IOERR | CANTOPEN) => StoreError::Unavailable { what, source },
        None if unreachable => StoreError::Unavailable { what, source },
        _ => StoreError::Bug { what, source },
    }
}

/// A statement that answered, but not what it must.
pub(super) fn bug(what: &'static str, found: impl Into<crate::store::error::Source>) -> StoreError {
    StoreError::Bug { what, source: found.into() }
}

/// Whether a row of that key is there already.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    extended_code(error).is_some_and(|code| UNIQUE.contains(&code))
}

/// Whether the file is not a SQLite database.
pub(super) fn is_no_database(error: &StoreError) -> bool {
    let StoreError::Damaged { source, .. } = error else { return false };
    source.downcast_ref::<sqlx::Error>().and_then(primary_code) == Some(NOTADB)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    // The low byte tells the family, the rest the member.
    extended_code(error).map(|code| code & 0xff)
}

/// SQLite's extended result code, if it is SQLite that failed.
pub(super) fn extended_code(error: &sqlx::Error) -> Option<i32> {
    let database = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    sqlx::error::DatabaseError::code(database)?.parse().ok()
}
