-- Begins a run.
INSERT INTO scrip_reconciliations
    (request_id, state, period_start, period_end, account_ids, user_ids, apply_costs, settings, actor, created_at, phase)
VALUES ($1::text, 'running', $2::timestamptz, $3::timestamptz, $4::text, $5::text, $6::boolean, $7::text, $8::text,
    clock_timestamp(), 'fetching')
RETURNING id
