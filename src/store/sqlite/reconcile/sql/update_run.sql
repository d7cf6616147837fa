-- What a run tells of itself; NULL leaves what is stored, and a run that is over stays as it ended.
UPDATE scrip_reconciliations SET
    state = coalesce(?2, state),
    phase = coalesce(?3, phase),
    done = coalesce(?4, done),
    total = coalesce(?5, total),
    findings_high = coalesce(?6, findings_high),
    findings_medium = coalesce(?7, findings_medium),
    findings_low = coalesce(?8, findings_low),
    cost_changes = coalesce(?9, cost_changes),
    summary = coalesce(?10, summary),
    error = coalesce(?11, error),
    evidence_at = coalesce(?12, evidence_at),
    completed_at = CASE WHEN coalesce(?2, state) = 'running' THEN NULL ELSE ?13 END
WHERE id = ?1 AND state = 'running'
