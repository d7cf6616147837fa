-- What a run tells of itself; NULL leaves what is stored. The one that writes has the turn.
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
    detail = coalesce(?11, detail),
    error = coalesce(?12, error),
    evidence_at = coalesce(?13, evidence_at),
    completed_at = CASE WHEN coalesce(?2, state) = 'running' THEN NULL ELSE ?14 END
WHERE id = ?1 AND state = 'running'
