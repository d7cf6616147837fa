//! Bounds of an account's fields, held for whoever sets them: callers of the API and operators at the command line.

use crate::keypool::AllowList;
use crate::ledger::limits::{Checks, ID_CHARS, NAME_CHARS};
use crate::ledger::{Rejection, Text};

/// Jobs at once where nothing is told: where fal's own limit starts.
pub(crate) const DEFAULT_CONCURRENCY: i32 = 2;
/// All of its share by limit.
pub(crate) const DEFAULT_WEIGHT: i32 = 100;

/// fal's own limit grows from 2 to 40.
const MAX_CONCURRENCY: i32 = 10_000;
const MAX_PRIORITY: i32 = 1_000_000;
const MAX_WEIGHT: i32 = 10_000;
const MAX_APPS: usize = 100;
const REMARK_CHARS: usize = 1_000;

impl Checks<'_> {
    /// Ends the checks so far, if anything was wrong.
    pub(crate) fn take(&mut self) -> Result<(), Rejection> {
        let so_far = std::mem::replace(self, Checks::new(self.limits));
        so_far.finish().map_err(Rejection::InvalidField)
    }
}

/// A name for people: 1 to 100 characters.
pub(crate) fn name(name: String, checks: &mut Checks<'_>) -> Text {
    checks.required_id("name", &name, ID_CHARS);
    Text::from(name)
}

/// At most 150 characters; empty for one of its own.
pub(crate) fn workspace(workspace: String, checks: &mut Checks<'_>) -> Text {
    checks.id("workspace", &workspace, NAME_CHARS);
    if workspace.contains(':') {
        // Said without the value: it may hold a secret.
        checks.violation("workspace", "must not contain ':'");
    }
    Text::from(workspace)
}

/// 1 to 10,000 jobs.
pub(crate) fn concurrency(jobs: i32, checks: &mut Checks<'_>) -> u32 {
    within("max_concurrency", jobs, 1, MAX_CONCURRENCY, checks).unsigned_abs()
}

/// 0 to 1,000,000.
pub(crate) fn priority(priority: i32, checks: &mut Checks<'_>) -> i32 {
    within("priority", priority, 0, MAX_PRIORITY, checks)
}

/// 1 to 10,000 percent.
pub(crate) fn weight(weight: i32, checks: &mut Checks<'_>) -> u32 {
    within("weight", weight, 1, MAX_WEIGHT, checks).unsigned_abs()
}

/// At most 100 models of 1 to 150 characters; none for all.
pub(crate) fn apps(apps: Vec<String>, checks: &mut Checks<'_>) -> AllowList {
    if apps.len() > MAX_APPS {
        checks.violation("allowed_apps", format!("must not be more than {MAX_APPS}"));
    }
    for app in apps.iter().take(MAX_APPS) {
        checks.required_id("allowed_apps", app, NAME_CHARS);
    }
    AllowList::new(apps.into_iter().take(MAX_APPS).map(Text::from).collect())
}

/// At most 1,000 characters.
pub(crate) fn remark(remark: String, checks: &mut Checks<'_>) -> Text {
    checks.line("remark", &remark, REMARK_CHARS);
    Text::from(remark)
}

fn within(field: &'static str, value: i32, min: i32, max: i32, checks: &mut Checks<'_>) -> i32 {
    if !(min..=max).contains(&value) {
        checks.violation(field, format!("must be {min} to {max}, not {value}"));
    }
    value
}
