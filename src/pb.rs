//! The wire contract as generated from `proto/`: messages, clients and servers of `scrip.v1`.

use std::fmt;

tonic::include_proto!("scrip.v1");

/// The compiled descriptors of the contract and all it imports, as server reflection serves them.
pub const DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("scrip_descriptor");

/// `ErrorInfo.domain` of every error.
pub const ERROR_DOMAIN: &str = "scrip.v1";

impl ErrorReason {
    /// The reason as `ErrorInfo` carries it: the name in the contract without its prefix.
    pub fn reason(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }
}

// What carries a secret prints without it, wherever it is logged from. `build.rs` lists these messages.

impl fmt::Debug for KeyLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLease")
            .field("lease_id", &self.lease_id)
            .field("account_id", &self.account_id)
            .field("key_id", &self.key_id)
            .field("api_key", &Secret(&self.api_key))
            .field("fence", &self.fence)
            .field("expire_time", &self.expire_time)
            .field("state", &self.state)
            .field("runner_id", &self.runner_id)
            .field("task_id", &self.task_id)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CreateAccountRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateAccountRequest")
            .field("request_id", &self.request_id)
            .field("name", &self.name)
            .field("api_key", &Secret(&self.api_key))
            .field("billing_api_key", &Secret(&self.billing_api_key))
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UpdateAccountRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateAccountRequest")
            .field("request_id", &self.request_id)
            .field("account", &self.account)
            .field("update_mask", &self.update_mask)
            .field("api_key", &Secret(&self.api_key))
            .field("billing_api_key", &Secret(&self.billing_api_key))
            .field("reason", &self.reason)
            .finish()
    }
}

/// Tells whether there is a secret, and no more.
struct Secret<'a>(&'a str);

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "[redacted]" })
    }
}

#[cfg(test)]
mod tests {
    use super::{ChargeResponse, CreateAccountRequest, ErrorReason, KeyLease, UpdateAccountRequest};

    #[test]
    fn messages_that_carry_a_secret_print_without_it() {
        let secret = || "7f2c9a10:canary".to_owned();
        let lease = KeyLease { lease_id: "lease-1".into(), api_key: secret(), ..KeyLease::default() };
        let printed = [
            format!("{:?}", ChargeResponse { lease: Some(lease), ..ChargeResponse::default() }),
            format!(
                "{:?}",
                CreateAccountRequest { api_key: secret(), billing_api_key: secret(), ..Default::default() }
            ),
            format!(
                "{:?}",
                UpdateAccountRequest { api_key: secret(), billing_api_key: secret(), ..Default::default() }
            ),
        ];
        assert!(printed[0].contains("lease-1"), "{}", printed[0]);
        for text in printed {
            assert!(text.contains("[redacted]") && !text.contains("canary"), "{text}");
        }
    }

    /// What clients program against. A reason may be added here; none may be renamed or dropped.
    const REASONS: [&str; 31] = [
        "INVALID_FIELD",
        "REQUEST_ID_REQUIRED",
        "REQUEST_ID_REUSED",
        "TASK_ALREADY_CHARGED",
        "INSUFFICIENT_BALANCE",
        "USER_NOT_FOUND",
        "TASK_NOT_FOUND",
        "ACCOUNT_NOT_FOUND",
        "LEASE_NOT_FOUND",
        "RECONCILIATION_NOT_FOUND",
        "REFUND_EXCEEDS_CHARGE",
        "TASK_STATE_CONFLICT",
        "HOLD_EXPIRED",
        "CAPTURE_EXCEEDS_HOLD",
        "BATCH_ABORTED",
        "ACCOUNT_EXISTS",
        "LEASE_EXPIRED",
        "LEASE_SUPERSEDED",
        "NO_KEY_AVAILABLE",
        "OVERLOADED",
        "STORE_UNAVAILABLE",
        "OUTCOME_UNKNOWN",
        "SHUTTING_DOWN",
        "UPSTREAM_UNAVAILABLE",
        "UPSTREAM_DENIED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "INTERNAL",
        "DEADLINE_EXCEEDED",
        "MESSAGE_TOO_LARGE",
        "SECRET_UNAVAILABLE",
    ];

    #[test]
    fn the_reasons_are_those_promised() {
        let generated: Vec<_> = (1..)
            .map_while(|number| ErrorReason::try_from(number).ok())
            .map(|reason| reason.reason())
            .collect();
        assert_eq!(generated, REASONS);
    }
}
