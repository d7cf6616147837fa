//! A short hash per field of a command's content: enough to tell whether a repeat says the same, and which field differs.
//!
//! Stored as one tag byte and six bytes of SHA-256 a field, in tag order; a field at its default is left out, so a
//! later version may add a field without making old repeats differ. JSON is canonicalised before it is hashed.

use sha2::{Digest, Sha256};

/// A field that counts as content. The numbers are stored: never change one, never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the request field of that name")]
pub enum Field {
    Amount = 1,
    AppName = 2,
    TaskType = 3,
    InputParams = 4,
    Funding = 5,
    DeploymentUuid = 6,
    PayType = 7,
    Ttl = 8,
    Reason = 9,
    Purse = 10,
    SourceType = 11,
    OrderId = 12,
    OnlineTaskId = 13,
    OutputParams = 14,
    CostNanoUsd = 15,
    BillableUnits = 16,
    CaptureAmount = 17,
    Error = 18,
    NoRefund = 19,
    LeaseId = 20,
    RunnerId = 21,
    Name = 22,
    KeyId = 23,
    BillingKeyId = 24,
    Workspace = 25,
    MaxConcurrency = 26,
    Priority = 27,
    Weight = 28,
    AllowedApps = 29,
    Remark = 30,
    BalanceNanoUsd = 31,
    Status = 32,
    AccountId = 33,
    UpdateMask = 34,
    StartTime = 35,
    EndTime = 36,
    AccountIds = 37,
    UserIds = 38,
    ApplyCosts = 39,
}

impl Field {
    const ALL: [Field; 39] = [
        Field::Amount,
        Field::AppName,
        Field::TaskType,
        Field::InputParams,
        Field::Funding,
        Field::DeploymentUuid,
        Field::PayType,
        Field::Ttl,
        Field::Reason,
        Field::Purse,
        Field::SourceType,
        Field::OrderId,
        Field::OnlineTaskId,
        Field::OutputParams,
        Field::CostNanoUsd,
        Field::BillableUnits,
        Field::CaptureAmount,
        Field::Error,
        Field::NoRefund,
        Field::LeaseId,
        Field::RunnerId,
        Field::Name,
        Field::KeyId,
        Field::BillingKeyId,
        Field::Workspace,
        Field::MaxConcurrency,
        Field::Priority,
        Field::Weight,
        Field::AllowedApps,
        Field::Remark,
        Field::BalanceNanoUsd,
        Field::Status,
        Field::AccountId,
        Field::UpdateMask,
        Field::StartTime,
        Field::EndTime,
        Field::AccountIds,
        Field::UserIds,
        Field::ApplyCosts,
    ];

    /// The request field's name, as the caller knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Amount => "amount",
            Field::AppName => "app_name",
            Field::TaskType => "task_type",
            Field::InputParams => "input_params",
            Field::Funding => "funding",
            Field::DeploymentUuid => "deployment_uuid",
            Field::PayType => "pay_type",
            Field::Ttl => "ttl",
            Field::Reason => "reason",
            Field::Purse => "purse",
            Field::SourceType => "source_type",
            Field::OrderId => "order_id",
            Field::OnlineTaskId => "online_task_id",
            Field::OutputParams => "output_params",
            Field::CostNanoUsd => "cost_nano_usd",
            Field::BillableUnits => "billable_units",
            Field::CaptureAmount => "capture_amount",
            Field::Error => "error",
            Field::NoRefund => "no_refund",
            Field::LeaseId => "lease_id",
            Field::RunnerId => "runner_id",
            Field::Name => "name",
            Field::KeyId => "api_key",
            Field::BillingKeyId => "billing_api_key",
            Field::Workspace => "workspace",
            Field::MaxConcurrency => "max_concurrency",
            Field::Priority => "priority",
            Field::Weight => "weight",
            Field::AllowedApps => "allowed_apps",
            Field::Remark => "remark",
            Field::BalanceNanoUsd => "balance_nano_usd",
            Field::Status => "status",
            Field::AccountId => "account_id",
            Field::UpdateMask => "update_mask",
            Field::StartTime => "start_time",
            Field::EndTime => "end_time",
            Field::AccountIds => "account_ids",
            Field::UserIds => "user_ids",
            Field::ApplyCosts => "apply_costs",
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| *field as u8 == tag)
    }
}

const WIDTH: usize = 7;

/// The fingerprint of a command's content.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// An empty fingerprint: every field at its default.
    pub fn new() -> Self {
        Self(Vec::with_capacity(WIDTH.saturating_mul(5)))
    }

    /// Reads a stored fingerprint.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a text; the empty text is the default. Fields are added in tag order.
    #[must_use]
    pub fn text(self, field: Field, value: &str) -> Self {
        if value.is_empty() { self } else { self.push(field, value.as_bytes()) }
    }

    /// Adds a number; 0 is the default.
    #[must_use]
    pub fn number(self, field: Field, value: i64) -> Self {
        if value == 0 { self } else { self.push(field, &value.to_be_bytes()) }
    }

    /// Adds a number whose absence is the default, so that a given 0 counts.
    #[must_use]
    pub fn optional(self, field: Field, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.push(field, &value.to_be_bytes()),
            None => self,
        }
    }

    fn push(mut self, field: Field, value: &[u8]) -> Self {
        debug_assert!(
            self.0.chunks(WIDTH).last().is_none_or(|last| last[0] < field as u8),
            "fields in tag order"
        );
        let digest: [u8; 32] = Sha256::digest(value).into();
        self.0.push(field as u8);
        self.0.extend_from_slice(&digest[..6]);
        self
    }

    /// The first field, in tag order, in which the two differ; `None` if they say the same.
    pub fn first_difference(&self, other: &Fingerprint) -> Option<&'static str> {
        if self == other {
            return None;
        }
        let mut tags: Vec<u8> =
            self.0.chunks(WIDTH).chain(other.0.chunks(WIDTH)).map(|chunk| chunk[0]).collect();
        tags.sort_unstable();
        let differing = tags.into_iter().find(|tag| self.of(*tag) != other.of(*tag));
        Some(differing.and_then(Field::from_tag).map_or("content", Field::name))
    }

    /// Whether `other`, which holds one field at most, says of `field` what this one says.
    pub fn agrees_on(&self, field: Field, other: &Fingerprint) -> bool {
        self.of(field as u8) == other.of(field as u8)
    }

    fn of(&self, tag: u8) -> Option<&[u8]> {
        self.0.chunks(WIDTH).find(|chunk| chunk[0] == tag)
    }
}

/// JSON with its keys sorted and its white space gone, so that two spellings of one document are equal.
///
/// # Errors
/// What is wrong with the text, if it is not JSON or is nested deeper than 128 levels.
pub fn canonical_json(text: &str) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_by_its_field() {
        let one = Fingerprint::new().number(Field::Amount, 600).text(Field::AppName, "fal-ai/flux/dev");
        let other = Fingerprint::new().number(Field::Amount, 600).text(Field::AppName, "fal-ai/sora-2");
        assert_eq!(one.first_difference(&other), Some("app_name"));
        assert_eq!(one.first_difference(&one.clone()), None);
    }

    #[test]
    fn what_is_stored_of_a_fingerprint_is_all_of_it() {
        let one = Fingerprint::new().number(Field::Amount, 600).text(Field::AppName, "fal-ai/flux/dev");
        let again = Fingerprint::from_stored(one.as_bytes().to_vec());
        assert_eq!((&again, again.first_difference(&one)), (&one, None));
        assert_ne!(again, Fingerprint::from_stored(Vec::new()));
    }

    #[test]
    fn a_field_given_where_the_other_has_its_default_is_a_difference() {
        let one = Fingerprint::new().number(Field::Amount, 600);
        let other = Fingerprint::new().number(Field::Amount, 600).number(Field::PayType, 2);
        assert_eq!(one.first_difference(&other), Some("pay_type"));
        assert_eq!(other.first_difference(&one), Some("pay_type"));
    }

    #[test]
    fn json_is_compared_by_meaning_not_by_spelling() {
        let spellings = [r#"{"a":1,"b":[1,2]}"#, "{ \"b\": [1, 2],\n \"a\": 1 }"];
        assert_eq!(canonical_json(spellings[0]), canonical_json(spellings[1]));
        assert!(canonical_json("{a:1}").is_err());
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(canonical_json("1e400"), Ok("1e+400".to_owned()));
        assert_ne!(canonical_json("18446744073709551617"), canonical_json("18446744073709551618"));
    }

    #[test]
    fn every_stored_tag_reads_back_as_its_field() {
        for field in Field::ALL {
            assert_eq!(Field::from_tag(field as u8), Some(field));
        }
    }
}
