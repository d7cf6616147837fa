-- Tasks by owner and row id. In two parts, since SQLite does not seek by a pair that ends in the row id: a page of a
-- busy owner would otherwise begin at that owner's first task.
SELECT t.task_id, t.user_id, t.online_task_id, t.app_name, t.api_key, t.task_type, t.status, t.money,
       t.charged_points, t.charged_cash, t.refunded_points, t.refunded_cash, t.held_points, t.held_cash,
       t.authorized_points, t.authorized_cash, t.hold_state, t.hold_expires_at, t.reported_cost_nano_usd,
       t.billed_cost_nano_usd, t.billable_units, t.lease_id, t.error, t.title, t.deployment_uuid, t.pay_type,
       t.created_at, t.completed_at, t.fingerprint, t.settle_fingerprint, t.charge_seq, t.refund_seq,
       t.refund_entries, t.settle_seq, t.settle_entries,
       (SELECT json_group_array(a.online_task_id ORDER BY a.attempt) FROM scrip_task_attempts AS a
         WHERE a.user_id = t.user_id AND a.task_id = t.task_id),
       t.id, t.is_refund, t.input_params, t.output_params
FROM (SELECT o.user_id, o.id FROM ts_fal_tasks AS o WHERE o.user_id = ?1 AND o.id > ?2
      UNION ALL
      SELECT n.user_id, n.id FROM ts_fal_tasks AS n WHERE n.user_id > ?1
      ORDER BY 1, 2
      LIMIT ?3) AS k
CROSS JOIN ts_fal_tasks AS t ON t.id = k.id
ORDER BY k.user_id, k.id
