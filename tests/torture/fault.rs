//! The faults by name: which there are, which exclude each other, and when each of them was at work.

use crate::history::Moment;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    ReplicaKill,
    ReplicaPause,
    RollingRestart,
    DatabaseCrash,
    DatabasePause,
    LinkReset,
    CommitCut,
    CommitSilence,
    SlowLink,
    DiskFull,
    ReadOnly,
    LockHeld,
    ClockStep,
    CancelStorm,
    RetryStorm,
    Migrate,
}

/// Faults of one group are never at work at the same time: one would keep the other from being healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Server,
    Database,
    Link,
    Clock,
    Callers,
}

impl Fault {
    pub(crate) const ALL: [Self; 16] = [
        Self::ReplicaKill,
        Self::ReplicaPause,
        Self::RollingRestart,
        Self::DatabaseCrash,
        Self::DatabasePause,
        Self::LinkReset,
        Self::CommitCut,
        Self::CommitSilence,
        Self::SlowLink,
        Self::DiskFull,
        Self::ReadOnly,
        Self::LockHeld,
        Self::ClockStep,
        Self::CancelStorm,
        Self::RetryStorm,
        Self::Migrate,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ReplicaKill => "replica-kill",
            Self::ReplicaPause => "replica-pause",
            Self::RollingRestart => "rolling-restart",
            Self::DatabaseCrash => "database-crash",
            Self::DatabasePause => "database-pause",
            Self::LinkReset => "link-reset",
            Self::CommitCut => "commit-cut",
            Self::CommitSilence => "commit-silence",
            Self::SlowLink => "slow-link",
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "read-only",
            Self::LockHeld => "lock-held",
            Self::ClockStep => "clock-step",
            Self::CancelStorm => "cancel-storm",
            Self::RetryStorm => "retry-storm",
            Self::Migrate => "migrate",
        }
    }

    pub(crate) const fn group(self) -> Group {
        match self {
            Self::ReplicaKill | Self::ReplicaPause | Self::RollingRestart => Group::Server,
            Self::DatabaseCrash
            | Self::DatabasePause
            | Self::DiskFull
            | Self::ReadOnly
            | Self::LockHeld
            | Self::Migrate => Group::Database,
            Self::LinkReset | Self::CommitCut | Self::CommitSilence | Self::SlowLink => Group::Link,
            Self::ClockStep => Group::Clock,
            Self::CancelStorm | Self::RetryStorm => Group::Callers,
        }
    }

    /// Why a kind of database has no such fault, if it has not.
    pub(crate) const fn is_foreign_to(self, is_postgres: bool) -> Option<&'static str> {
        match (self, is_postgres) {
            (Self::DatabaseCrash | Self::DatabasePause, false) => {
                Some("SQLite has no server of its own: killing or stopping the replica is that")
            }
            (Self::CommitCut | Self::CommitSilence, false) => {
                Some("SQLite has no wire between server and database")
            }
            (Self::LockHeld, true) => Some("a fault of SQLite, whose one write lock a neighbour can keep"),
            _ => None,
        }
    }

    /// Whether nothing can be written while it lasts, with so many replicas.
    pub(crate) const fn blocks(self, replicas: usize) -> bool {
        match self {
            Self::DatabaseCrash | Self::DatabasePause | Self::DiskFull | Self::ReadOnly | Self::LockHeld => {
                true
            }
            Self::ReplicaKill | Self::ReplicaPause | Self::RollingRestart => replicas == 1,
            Self::LinkReset
            | Self::CommitCut
            | Self::CommitSilence
            | Self::SlowLink
            | Self::ClockStep
            | Self::CancelStorm
            | Self::RetryStorm
            | Self::Migrate => false,
        }
    }
}

/// A fault that was made, from its beginning to when it was healed.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) fault: Fault,
    pub(crate) begun: Moment,
    pub(crate) healed: Moment,
    pub(crate) remark: String,
}
