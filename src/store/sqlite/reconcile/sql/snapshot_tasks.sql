-- The tasks a run judges, in the order it reads them: by the least of their request ids, then their id. Sorted on disk.
-- Those of the period come in the order of their index, so that each is one group as it comes.
INSERT INTO temp.run_tasks
    (task_id, user_id, app_name, attempts, online_task_id, key_id, status, money, refunded, held, reported_cost_nano_usd,
     billed_cost_nano_usd, created_at, completed_at, live_lease)
SELECT k.task_id, k.user_id, k.app_name, k.attempts, k.online_task_id, k.api_key, k.status, k.money, k.refunded, k.held,
       k.reported_cost_nano_usd, k.billed_cost_nano_usd, k.created_at, k.completed_at,
       EXISTS (SELECT 1 FROM scrip_leases AS l
                WHERE l.task_id = k.task_id AND l.released_at IS NULL AND l.expires_at > ?3)
FROM (
    SELECT t.task_id, t.user_id, t.app_name, t.online_task_id, t.api_key, t.status, t.money,
           t.refunded_points + t.refunded_cash AS refunded, t.held_points + t.held_cash AS held,
           t.reported_cost_nano_usd, t.billed_cost_nano_usd, t.created_at, t.completed_at,
           json_group_array(json_array(a.attempt, a.online_task_id, a.key_id)) FILTER (WHERE a.attempt IS NOT NULL)
               AS attempts,
           min(nullif(a.online_task_id, '')) AS least
    FROM ts_fal_tasks AS t
    LEFT JOIN scrip_task_attempts AS a ON a.user_id = t.user_id AND a.task_id = t.task_id
    WHERE t.created_at >= ?1 AND t.created_at < ?2
    GROUP BY t.created_at, t.id
    UNION ALL
    SELECT t.task_id, t.user_id, t.app_name, t.online_task_id, t.api_key, t.status, t.money,
           t.refunded_points + t.refunded_cash, t.held_points + t.held_cash, t.reported_cost_nano_usd,
           t.billed_cost_nano_usd, t.created_at, t.completed_at,
           json_group_array(json_array(a.attempt, a.online_task_id, a.key_id)) FILTER (WHERE a.attempt IS NOT NULL),
           min(nullif(a.online_task_id, ''))
    FROM temp.run_others AS o
    CROSS JOIN ts_fal_tasks AS t ON t.task_id = o.task_id
    LEFT JOIN scrip_task_attempts AS a ON a.user_id = t.user_id AND a.task_id = t.task_id
    GROUP BY o.task_id
) AS k
ORDER BY coalesce(min(k.least, nullif(k.online_task_id, '')), k.least, k.online_task_id), k.task_id
