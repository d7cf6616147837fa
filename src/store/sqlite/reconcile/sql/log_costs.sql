-- The line of the audit log for a chunk of costs.
INSERT INTO scrip_audit_log (at, actor, subject_kind, subject, account_id, reason, changes)
SELECT ?2, r.actor, 'reconciliation', CAST(r.id AS TEXT), 0, 'billed costs applied',
       printf('{"costs_applied":[%d,%d]}', r.costs_applied, r.costs_applied + ?3)
FROM scrip_reconciliations AS r
WHERE r.id = ?1
