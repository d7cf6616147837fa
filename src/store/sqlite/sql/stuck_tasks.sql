-- Charged tasks that nobody settled, oldest first, after a row id.
SELECT t.task_id, t.user_id, t.online_task_id, t.app_name, t.api_key, t.task_type, t.status, t.money,
       t.charged_points, t.charged_cash, t.refunded_points, t.refunded_cash, t.held_points, t.held_cash,
       t.authorized_points, t.authorized_cash, t.hold_state, t.hold_expires_at, t.reported_cost_nano_usd,
       t.billed_cost_nano_usd, t.billable_units, t.lease_id, t.error, t.title, t.deployment_uuid, t.pay_type,
       t.created_at, t.completed_at, t.fingerprint, t.settle_fingerprint, t.charge_seq, t.refund_seq,
       t.refund_entries, t.settle_seq, t.settle_entries,
       (SELECT json_group_array(a.online_task_id ORDER BY a.attempt) FROM scrip_task_attempts AS a
         WHERE a.user_id = t.user_id AND a.task_id = t.task_id),
       t.id, t.is_refund, t.input_params, t.output_params
FROM ts_fal_tasks AS t
WHERE t.id > ?1 AND t.created_at < ?2 AND t.status IN ('pending', 'processing') AND t.money > 0
ORDER BY t.id
LIMIT ?3
