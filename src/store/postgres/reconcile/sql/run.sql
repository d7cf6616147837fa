-- One run.
SELECT
    r.id, r.state, r.period_start, r.period_end, r.account_ids, r.user_ids, r.apply_costs, r.settings, r.actor,
    r.created_at, r.attempt, r.pass, r.tries, r.retry_at, r.evidence_at, r.completed_at, r.phase, r.done, r.total,
    r.findings_high, r.findings_medium, r.findings_low, r.cost_changes, r.costs_applied, r.summary, r.error
FROM scrip_reconciliations AS r
WHERE r.id = $1::bigint
