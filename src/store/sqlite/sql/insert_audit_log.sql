-- Who changed what, and why.
INSERT INTO scrip_audit_log
    (at, actor, subject_kind, subject, account_id, reason, changes)
VALUES (?, ?, ?, ?, ?, ?, ?)
