-- As writer_read_tasks, for Citus: what is looked up for each task is looked up where the task is, and the moment comes
-- from the coordinator's clock alone.
SELECT
    clock.now,
    t.user_id, t.task_id, t.online_task_id, t.app_name, t.api_key, t.task_type, t.status, t.money, t.created_at,
    t.completed_at, t.charged_points, t.charged_cash, t.refunded_points, t.refunded_cash, t.held_points, t.held_cash,
    t.authorized_points, t.authorized_cash, t.hold_state, t.hold_expires_at, t.reported_cost_nano_usd,
    t.billed_cost_nano_usd, t.billable_units, t.lease_id, t.error, t.title, t.deployment_uuid, t.pay_type,
    t.fingerprint, t.settle_fingerprint, t.charge_seq, t.refund_seq, t.refund_entries, t.settle_seq, t.settle_entries,
    t.attempts
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN (
    SELECT
        t.user_id, t.task_id, t.online_task_id, t.app_name, t.api_key, t.task_type, t.status, t.money, t.created_at,
        t.completed_at, t.charged_points, t.charged_cash, t.refunded_points, t.refunded_cash, t.held_points, t.held_cash,
        t.authorized_points, t.authorized_cash, t.hold_state, t.hold_expires_at, t.reported_cost_nano_usd,
        t.billed_cost_nano_usd, t.billable_units, t.lease_id, t.error, t.title, t.deployment_uuid, t.pay_type,
        t.fingerprint, t.settle_fingerprint, t.charge_seq, t.refund_seq, t.refund_entries, t.settle_seq, t.settle_entries,
        (
            SELECT array_agg(a.online_task_id ORDER BY a.attempt)
            FROM scrip_task_attempts AS a
            WHERE a.user_id = t.user_id AND a.task_id = t.task_id
        ) AS attempts
    FROM ts_fal_tasks AS t
    WHERE t.task_id = ANY($1::text[])
) AS t ON true
