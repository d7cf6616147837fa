//! The rule on the ledger itself: B4.

use super::super::{Disagreement, Evidence, Finding, Rule};

/// B4: a ledger invariant is broken. Every finding of `verify` is one.
pub fn b4(found: &Disagreement) -> Finding {
    let evidence = Evidence::new([
        ("table", (&found.table).into()),
        ("key", (&found.key).into()),
        ("what", (&found.what).into()),
        ("expected", (&found.expected).into()),
        ("found", (&found.found).into()),
    ]);
    Finding { user_id: found.user_id, ..Finding::new(Rule::B4, evidence) }
}

#[cfg(test)]
mod tests {
    use super::super::super::Language;
    use super::*;

    #[test]
    fn b4_repeats_what_verify_found() {
        let finding = b4(&Disagreement {
            user_id: Some(7),
            table: "ts_users".into(),
            key: "user 7".into(),
            what: "points_balance".into(),
            expected: "90".into(),
            found: "100".into(),
        });
        assert_eq!(finding.user_id, Some(7));
        let message = finding.message(Language::English);
        assert_eq!(message, "Ledger: ts_users, user 7: points_balance must be 90, is 100.");
    }
}
