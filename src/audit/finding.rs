//! A finding: a rule that fired, with the ids and figures that prove it.

use serde::{Serialize, Serializer};

use super::words::words;
use super::{Evidence, Text, UserId};

words! {
    /// The rules, by the names that reports and the API use.
    Rule {
        /// A workspace's bill is not what its tasks record.
        A1 = "A1",
        /// Users pay for a model that fal bills nothing for.
        A2 = "A2",
        /// fal bills what no task asked for.
        A3 = "A3",
        /// A user's tasks and ledger disagree.
        A4 = "A4",
        /// Much of a user's day was refunded.
        A5 = "A5",
        /// A user's day is far above its usual.
        A6 = "A6",
        /// A free task that costs.
        A7 = "A7",
        /// An account runs dry.
        A8 = "A8",
        /// The runner's cost is not fal's.
        B1 = "B1",
        /// Refunded in full, yet billed.
        B2 = "B2",
        /// Billed, yet not settled here.
        B3 = "B3",
        /// The ledger disagrees with itself.
        B4 = "B4",
        /// Sold below cost.
        B5 = "B5",
        /// Charged, and nobody settles it.
        B6 = "B6",
        /// fal's usage and its events disagree.
        B7 = "B7",
    }
}

impl Rule {
    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Rule::A1 | Rule::A2 | Rule::A3 | Rule::B3 | Rule::B4 | Rule::B6 | Rule::B7 => Severity::High,
            Rule::A4 | Rule::A5 | Rule::A7 | Rule::B1 | Rule::B2 => Severity::Medium,
            Rule::A6 | Rule::A8 | Rule::B5 => Severity::Low,
        }
    }
}

words! {
    /// How much a finding matters, the most first.
    Severity {
        /// Money is lost or the books are wrong.
        High = "HIGH",
        /// Money may be lost.
        Medium = "MEDIUM",
        /// Worth a look.
        Low = "LOW",
    }
}

/// A rule that fired. What it says to people is [`Finding::message`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How much it matters.
    pub severity: Severity,
    /// The account, where it is about one.
    pub account_id: Option<i64>,
    /// The workspace, where it is about one.
    #[serde(serialize_with = "optional_text")]
    pub workspace: Option<Text>,
    /// The user, where it is about one.
    pub user_id: Option<UserId>,
    /// The task, where it is about one.
    #[serde(serialize_with = "optional_text")]
    pub task_id: Option<Text>,
    /// fal's request, where it is about one.
    #[serde(serialize_with = "optional_text")]
    pub online_task_id: Option<Text>,
    /// The model, where it is about one.
    #[serde(serialize_with = "optional_text")]
    pub app_name: Option<Text>,
    /// The figures that were judged.
    pub evidence: Evidence,
}

impl Finding {
    /// A finding that names nobody yet.
    pub const fn new(rule: Rule, evidence: Evidence) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            account_id: None,
            workspace: None,
            user_id: None,
            task_id: None,
            online_task_id: None,
            app_name: None,
            evidence,
        }
    }
}

fn optional_text<S: Serializer>(text: &Option<Text>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}
