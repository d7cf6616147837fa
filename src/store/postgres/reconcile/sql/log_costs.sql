-- The line of the audit log for a chunk of costs.
INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
SELECT
    clock_timestamp(), r.actor, 'reconciliation', r.id::text, 0, 'billed costs applied',
    '{"costs_applied":[' || r.costs_applied || ',' || r.costs_applied + $2::bigint || ']}'
FROM scrip_reconciliations AS r
WHERE r.id = $1::bigint
