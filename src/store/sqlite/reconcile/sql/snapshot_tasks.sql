-- The tasks a run judges, in the order it reads them: by the least of their request ids, then their id. Sorted on disk.
INSERT INTO temp.run_tasks
    (task_id, user_id, app_name, attempts, online_task_id, key_id, status, money, refunded, held, reported_cost_nano_usd,
     billed_cost_nano_usd, created_at, completed_at, live_lease)
SELECT t.task_id, t.user_id, t.app_name,
       (SELECT json_group_array(json_array(a.online_task_id, a.key_id) ORDER BY a.attempt)
          FROM scrip_task_attempts AS a WHERE a.user_id = t.user_id AND a.task_id = t.task_id),
       t.online_task_id, t.api_key, t.status, t.money, t.refunded_points + t.refunded_cash,
       t.held_points + t.held_cash, t.reported_cost_nano_usd, t.billed_cost_nano_usd, t.created_at, t.completed_at,
       EXISTS (SELECT 1 FROM scrip_leases AS l
                WHERE l.task_id = t.task_id AND l.released_at IS NULL AND l.expires_at > ?3)
FROM (
    SELECT p.id FROM ts_fal_tasks AS p WHERE p.created_at >= ?1 AND p.created_at < ?2
    UNION ALL
    SELECT n.id FROM temp.run_others AS o CROSS JOIN ts_fal_tasks AS n ON n.task_id = o.task_id
) AS k
CROSS JOIN ts_fal_tasks AS t ON t.id = k.id
ORDER BY coalesce(
    (SELECT min(b.online_task_id) FROM scrip_task_attempts AS b
      WHERE b.user_id = t.user_id AND b.task_id = t.task_id AND b.online_task_id <> ''
        AND (t.online_task_id = '' OR b.online_task_id < t.online_task_id)),
    t.online_task_id), t.task_id
