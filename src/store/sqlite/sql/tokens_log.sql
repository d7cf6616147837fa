-- Who made or revoked a token.
INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
VALUES (?1, ?2, 'token', ?3, 0, ?4, ?5)
