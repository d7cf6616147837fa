-- Who changed what of one account, newest first, before a row.
SELECT g.id, g.at, g.actor, g.subject_kind, g.subject, g.account_id, g.reason, g.changes
FROM scrip_audit_log AS g
WHERE g.account_id = ?1 AND g.id < ?2
ORDER BY g.id DESC
LIMIT ?3
