-- Who made or revoked a token.
INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
VALUES (clock_timestamp(), $1::text, 'token', $2::text, 0, $3::text, $4::text)
