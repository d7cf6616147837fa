//! `scrip version`: what this binary is, for bug reports and rollouts.

use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use super::output::Out;

/// The newest migration of this binary; both databases go number by number in step.
const SCHEMA: usize = 6;

/// Show the version of scrip, of its tables and of the SQLite it carries
#[derive(Debug, Args)]
pub(super) struct VersionArgs {}

pub(super) fn run(_args: VersionArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    out.line(format!("scrip {}", long()))?;
    Ok(ExitCode::SUCCESS)
}

/// What follows the name in `--version`.
pub(super) fn long() -> String {
    format!(
        "{}\nschema {}\nSQLite {} (bundled), PostgreSQL 14 or newer",
        env!("CARGO_PKG_VERSION"),
        SCHEMA,
        libsqlite3_sys::SQLITE_VERSION.to_string_lossy()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_newest_migration_of_both_databases() {
        for database in ["sqlite", "postgres"] {
            let folder = format!("{}/migrations/{database}", env!("CARGO_MANIFEST_DIR"));
            let numbers = std::fs::read_dir(folder).unwrap().map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.split('_').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
            });
            assert_eq!(numbers.max(), Some(SCHEMA), "{database}");
        }
    }
}
