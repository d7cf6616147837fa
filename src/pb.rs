//! The wire contract as generated from `proto/`: messages, clients and servers of `scrip.v1`.

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

#[cfg(test)]
mod tests {
    use super::ErrorReason;

    /// What clients program against. A reason may be added here; none may be renamed or dropped.
    const REASONS: [&str; 30] = [
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
