//! What both stores' migrations have in common: how they are listed, run and reported, and which binary may serve.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Number, name and SQL of each migration of a store, ascending. Append-only, and in step in both stores.
pub(super) type Migrations = [(i32, &'static str, &'static str)];

/// Where sqlx keeps what it has applied. Not under its usual name: that may be another program's.
const TABLE: &str = "scrip_migrations";

/// What a migration run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The migrations that were applied, such as `0001_ledger`; empty if nothing was missing.
    pub applied: Vec<String>,
    /// The newest migration in the database now; newer than this binary's where a newer release has been here.
    pub version: i32,
}

impl MigrationReport {
    /// Tells what was applied, from the numbers in the database before and after.
    pub(super) fn new(migrations: &Migrations, before: &[i32], after: &[i32]) -> Self {
        let new =
            migrations.iter().filter(|(version, ..)| after.contains(version) && !before.contains(version));
        Self {
            applied: new.map(|(version, name, _)| format!("{version:04}_{name}")).collect(),
            version: after.iter().copied().max().unwrap_or_default(),
        }
    }
}

/// sqlx's migrator over the list. The caller holds the lock that keeps other replicas out.
pub(super) fn migrator(migrations: &Migrations) -> Migrator {
    let migrations = migrations
        .iter()
        .map(|(version, name, text)| {
            let sql = text.into_sql_str();
            Migration::new((*version).into(), (*name).into(), MigrationType::Simple, sql, false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // Whether a newer database can be served is for scrip_schema to say.
    migrator.set_ignore_missing(true).set_locking(false);
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Whether this binary is at least the oldest that a migration can live with. What cannot be read is not served.
pub(super) fn can_live_with(oldest_binary: &str) -> bool {
    release(oldest_binary).is_some_and(|oldest| release(env!("CARGO_PKG_VERSION")) >= Some(oldest))
}

/// `1.2.3`; what follows a dash or plus is of no account here.
pub(super) fn release(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split(['-', '+']).next()?.split('.').map(|part| part.parse().ok());
    let release = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number_not_by_letter() {
        assert!(release("0.10.0") > release("0.9.12"));
        assert_eq!(release("1.2.3-rc.1"), Some((1, 2, 3)));
        assert_eq!(release("1.2"), None);
        assert_eq!(release("one"), None);
    }

    #[test]
    fn a_migration_that_needs_a_newer_or_unreadable_release_is_not_lived_with() {
        assert!(can_live_with("0.0.1"));
        assert!(can_live_with(env!("CARGO_PKG_VERSION")));
        assert!(!can_live_with("99.1.0"));
        assert!(!can_live_with("soon"));
    }
}
