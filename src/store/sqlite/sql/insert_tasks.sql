-- New tasks; billed_cost_nano_usd is reconciliation's to write.
INSERT INTO ts_fal_tasks
    (task_id, user_id, online_task_id, api_key, status, money, completed_at, charged_points, charged_cash,
     refunded_points, refunded_cash, held_points, held_cash, hold_state, hold_expires_at,
     reported_cost_nano_usd, billable_units, lease_id, error, settle_fingerprint, charge_seq, refund_seq,
     refund_entries, settle_seq, settle_entries, output_params, app_name, task_type, created_at,
     authorized_points, authorized_cash, title, deployment_uuid, pay_type, fingerprint, input_params)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
