//! What a run tells of its report beside it: whether it has all, and what it could not fetch.

use super::names;
use super::words::{Words, fill};
use crate::audit::Language;

/// What a report does not hold, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// The run ended without some of the evidence.
    pub is_partial: bool,
    /// What could not be fetched, by account.
    pub not_fetched: Vec<NotFetched>,
    /// Broken invariants of the ledger beyond those that are findings of rule B4.
    pub unlisted_disagreements: u64,
}

/// Something that could not be fetched through an account.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NotFetched {
    /// The account.
    pub account_id: i64,
    /// Its name.
    pub account: String,
    /// Its workspace.
    pub workspace: String,
    /// What was asked for: `billing_events`, `usage`, `balance`.
    pub source: &'static str,
    /// Why, in the words of the API: `UPSTREAM_UNAVAILABLE`, `UPSTREAM_DENIED`, `SECRET_UNAVAILABLE`.
    pub reason: &'static str,
    /// fal's HTTP status; 0 where it did not answer.
    pub http_status: u16,
    /// The same for people, in English.
    pub message: String,
}

impl Gaps {
    /// The word of a run that ended so.
    pub(super) const fn state(&self) -> &'static str {
        if self.is_partial { "partial" } else { "completed" }
    }

    /// A sentence for each gap.
    pub(super) fn sentences(&self, words: &Words, language: Language) -> Vec<String> {
        let fetches = self.not_fetched.iter().map(|gap| {
            let account_id = gap.account_id.to_string();
            let source = names::source(gap.source, language);
            fill(
                words.notes.not_fetched,
                &[&account_id, &gap.account, &gap.workspace, source, &gap.message, gap.reason],
            )
        });
        let more = self.unlisted_disagreements;
        let more = (more > 0).then(|| fill(words.notes.unlisted, &[&super::figures::grouped(more)]));
        fetches.chain(more).collect()
    }
}
