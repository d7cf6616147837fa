//! An account: one fal key, what it may be used for, and how the operator ranks it.

use super::AccountId;
use super::circuit::Circuit;
use crate::ledger::text_enum::text_enum;
use crate::ledger::{Micros, Text};

text_enum! {
    /// Whether the operator lets an account be used.
    AccountStatus {
        /// In rotation.
        Enabled = "enabled",
        /// Out of rotation, but a task that already runs on it still gets its key.
        Draining = "draining",
        /// Not used at all.
        Disabled = "disabled",
        /// Gone for operators, its secrets erased. Its row stays for the leases and bills that name it.
        Deleted = "deleted",
    }
}

impl AccountStatus {
    /// Whether nothing may be leased of it, not even for a task that runs on it.
    pub const fn is_out(self) -> bool {
        matches!(self, AccountStatus::Disabled | AccountStatus::Deleted)
    }
}

/// The models an account may run; empty allows all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AllowList(Vec<Text>);

impl AllowList {
    /// A list of models. An entry that ends in `*` allows every model that begins with what stands before it.
    pub fn new(mut apps: Vec<Text>) -> Self {
        apps.sort();
        apps.dedup();
        Self(apps)
    }

    /// Whether `app` may run.
    pub fn allows(&self, app: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry.strip_suffix('*') {
                Some(beginning) => app.starts_with(beginning),
                None => app == &**entry,
            })
    }

    /// Reads the list as it is stored; `None` for what is no JSON array of texts.
    pub fn from_json(json: &str) -> Option<Self> {
        let apps: Vec<String> = serde_json::from_str(json).ok()?;
        Some(Self::new(apps.into_iter().map(Text::from).collect()))
    }

    /// As it is stored: a JSON array of texts.
    pub fn to_json(&self) -> String {
        serde_json::Value::from_iter(self.0.iter().map(|app| &**app)).to_string()
    }

    /// The entries, sorted.
    pub fn apps(&self) -> &[Text] {
        &self.0
    }
}

/// One row of `ts_fal_account`, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its row.
    pub account_id: AccountId,
    /// Its name, for people.
    pub name: Text,
    /// The workspace it shares limit, lock, cooldown and balance with; one of its own where none is known.
    pub workspace: Text,
    /// The id of its key.
    pub key_id: Text,
    /// The id of the key for fal's platform API, where it has one of its own. Never leased.
    pub billing_key_id: Option<Text>,
    /// Whether the operator lets it be used.
    pub status: AccountStatus,
    /// The most jobs its workspace may run at once; ≥ 0 (fal gives 2 to 40). Of several accounts of one workspace
    /// that are not disabled, the smallest holds.
    pub max_concurrency: u32,
    /// Its tier: 0 is tried first, the next only where that has no slot.
    pub priority: i32,
    /// How much of the work it shall carry, in percent of its share by limit; 1 to 10,000, normally 100.
    pub weight: u32,
    /// The models it may run.
    pub allowed_apps: AllowList,
    /// Notes of the operator.
    pub remark: Text,
    /// Leases ever given.
    pub use_cnt: i64,
    /// Errors ever blamed on it.
    pub error_cnt: i64,
    /// When it was added.
    pub create_time: Micros,
    /// When an operator last changed it.
    pub update_time: Micros,
    /// Whether its key is accepted. The workspace has a circuit of its own for all else.
    pub key: Circuit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_takes_whole_names_and_beginnings_and_an_empty_one_takes_all() {
        assert!(AllowList::default().allows("fal-ai/flux/dev"));
        let list = AllowList::new(vec!["fal-ai/flux/*".into(), "fal-ai/kokoro".into()]);
        assert!(list.allows("fal-ai/flux/dev"));
        assert!(list.allows("fal-ai/kokoro"));
        assert!(!list.allows("fal-ai/kokoro/british"));
        assert!(!list.allows("fal-ai/sora-2"));
        assert!(!list.allows(""));
    }

    #[test]
    fn an_allow_list_is_stored_as_an_array_of_texts_and_read_back() {
        let apps = ["fal-ai/kokoro", "fal-ai/flux/*", "fal-ai/kokoro"];
        let list = AllowList::new(apps.map(Text::from).into());
        assert_eq!(list.to_json(), r#"["fal-ai/flux/*","fal-ai/kokoro"]"#);
        assert_eq!(AllowList::from_json(&list.to_json()), Some(list));
        assert_eq!(AllowList::from_json(&AllowList::default().to_json()), Some(AllowList::default()));
        assert_eq!(AllowList::from_json("[1]"), None);
        assert_eq!(AllowList::from_json("fal-ai/kokoro"), None);
    }
}
