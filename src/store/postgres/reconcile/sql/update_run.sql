-- What a run tells of itself; NULL leaves what is stored. The one that writes has the turn.
UPDATE scrip_reconciliations AS r SET
    state = coalesce($2::text, r.state),
    phase = coalesce($3::text, r.phase),
    done = coalesce($4::bigint, r.done),
    total = coalesce($5::bigint, r.total),
    findings_high = coalesce($6::bigint, r.findings_high),
    findings_medium = coalesce($7::bigint, r.findings_medium),
    findings_low = coalesce($8::bigint, r.findings_low),
    cost_changes = coalesce($9::bigint, r.cost_changes),
    summary = coalesce($10::text, r.summary),
    detail = coalesce($11::text, r.detail),
    error = coalesce($12::text, r.error),
    evidence_at = coalesce($13::timestamptz, r.evidence_at),
    completed_at = CASE WHEN coalesce($2::text, r.state) <> 'running' THEN clock_timestamp() END
WHERE r.id = $1::bigint AND r.state = 'running'
