-- Who changed what, newest first, before a row.
SELECT g.id, g.at, g.actor, g.subject_kind, g.subject, g.account_id, g.reason, g.changes
FROM scrip_audit_log AS g
WHERE g.id < ?1
ORDER BY g.id DESC
LIMIT ?2
