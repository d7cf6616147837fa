-- The audit log newest first, of one account or of all. A filter that is not given folds away when this is planned.
SELECT g.id, g.at, g.actor, g.subject_kind, g.subject, g.account_id, g.reason, g.changes
FROM scrip_audit_log AS g
WHERE ($1::bigint IS NULL OR g.account_id = $1::bigint) AND ($2::bigint IS NULL OR g.id < $2::bigint)
ORDER BY g.id DESC
LIMIT $3::bigint
