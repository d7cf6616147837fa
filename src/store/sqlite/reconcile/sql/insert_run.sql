-- Begins a run.
INSERT INTO scrip_reconciliations
    (request_id, state, period_start, period_end, account_ids, user_ids, apply_costs, settings, actor, created_at, phase)
VALUES (?1, 'running', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'fetching')
