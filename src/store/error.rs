//! What can go wrong between scrip and its database. The driver's own words go to the log, never to a client.

/// A driver's error, kept for the log.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// A statement that did not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, was lost, is shutting down or did not answer in time: later it may.
    #[error("the database is unavailable: {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// The driver's words.
        #[source]
        source: Source,
    },
    /// The disk or the database is full: once there is room, writes go on.
    #[error("the database has no room left: {what}")]
    Full {
        /// What was being done.
        what: &'static str,
        /// The driver's words.
        #[source]
        source: Source,
    },
    /// The database takes no writes: read-only file, or a standby.
    #[error("the database is read-only: {what}")]
    ReadOnly {
        /// What was being done.
        what: &'static str,
        /// The driver's words.
        #[source]
        source: Source,
    },
    /// The file is damaged, or a commit ended in an I/O error: nothing is written until a restart has checked it.
    #[error("the database is damaged or its disk is failing: {what}")]
    Damaged {
        /// What was being done.
        what: &'static str,
        /// The driver's words.
        #[source]
        source: Source,
    },
    /// Another transaction was in the way: the batch is decided again.
    #[error("another transaction was in the way: {what}")]
    Conflict {
        /// What was being done.
        what: &'static str,
        /// The driver's words.
        #[source]
        source: Source,
    },
    /// The database is not one this binary can serve. The text says what is wrong and what to do.
    #[error("{0}")]
    Refused(String),
    /// A statement failed in a way that no state of the world explains: a bug, here or in the tables.
    #[error("unexpected answer of the database: {what}")]
    Bug {
        /// What was being done.
        what: &'static str,
        /// The driver's words.
        #[source]
        source: Source,
    },
}

/// Why a batch was certainly not committed.
#[derive(Debug)]
pub enum Failure {
    /// Deciding it again may succeed at once: a conflict, or a connection lost before COMMIT was sent.
    Again(StoreError),
    /// Nothing can be written now.
    Stop(StoreError),
}

/// How a batch ended.
#[derive(Debug)]
pub enum Transacted {
    /// Durably written.
    Committed,
    /// An earlier run of this batch id was durably written: its answers stand.
    AlreadyCommitted,
    /// Nothing was written.
    NotCommitted(Failure),
    /// COMMIT was sent and no answer came: only [`super::Run::Resolving`] can tell.
    Unknown(StoreError),
}
