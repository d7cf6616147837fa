-- What may change of a task after its creation; a NULL output keeps what is stored.
WITH v (task_id, user_id, online_task_id, api_key, status, money, completed_at, charged_points, charged_cash,
        refunded_points, refunded_cash, held_points, held_cash, hold_state, hold_expires_at,
        reported_cost_nano_usd, billable_units, lease_id, error, settle_fingerprint, charge_seq, refund_seq,
        refund_entries, settle_seq, settle_entries, output_params) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
)
UPDATE ts_fal_tasks AS t
SET online_task_id = v.online_task_id, api_key = v.api_key, status = v.status, money = v.money,
    completed_at = v.completed_at, charged_points = v.charged_points, charged_cash = v.charged_cash,
    refunded_points = v.refunded_points, refunded_cash = v.refunded_cash, held_points = v.held_points,
    held_cash = v.held_cash, hold_state = v.hold_state, hold_expires_at = v.hold_expires_at,
    reported_cost_nano_usd = v.reported_cost_nano_usd, billable_units = v.billable_units,
    lease_id = v.lease_id, error = v.error, settle_fingerprint = v.settle_fingerprint,
    charge_seq = v.charge_seq, refund_seq = v.refund_seq, refund_entries = v.refund_entries,
    settle_seq = v.settle_seq, settle_entries = v.settle_entries,
    output_params = coalesce(v.output_params, t.output_params)
FROM v
WHERE t.task_id = v.task_id AND t.user_id = v.user_id
