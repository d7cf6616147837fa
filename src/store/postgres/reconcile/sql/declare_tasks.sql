-- The tasks a run judges, by the least of their request ids and their own: those of the period, those from before it
-- that are open or were when it began, and any other that an event names.
DECLARE run_tasks NO SCROLL CURSOR FOR
SELECT
    t.task_id, t.user_id, t.app_name, a.online_ids, a.key_ids, t.online_task_id, t.api_key, t.status, t.money,
    t.refunded_points + t.refunded_cash AS refunded, t.held_points + t.held_cash AS held, t.reported_cost_nano_usd,
    t.billed_cost_nano_usd, t.created_at, t.completed_at,
    EXISTS (
        SELECT 1 FROM scrip_leases AS l
        WHERE l.task_id = t.task_id AND l.released_at IS NULL AND l.expires_at > now()
    ) AS live_lease
FROM (
    SELECT p.id FROM ts_fal_tasks AS p WHERE p.created_at >= $1::timestamptz AND p.created_at < $2::timestamptz
    UNION ALL
    SELECT o.id FROM ts_fal_tasks AS o
    WHERE o.created_at >= $3::timestamptz AND o.created_at < $1::timestamptz
      AND (o.status IN ('pending', 'processing') OR o.completed_at >= $1::timestamptz)
    UNION ALL
    SELECT n.id FROM (
        SELECT DISTINCT b.user_id, b.task_id
        FROM scrip_billing_events AS e
        JOIN scrip_task_attempts AS b ON b.online_task_id = e.request_id AND b.online_task_id <> ''
        WHERE e.workspace = ANY($4::text[]) AND e.billed_at >= $3::timestamptz AND e.billed_at < $5::timestamptz
          AND e.pass = $6::bigint
    ) AS k
    JOIN ts_fal_tasks AS n ON n.task_id = k.task_id AND n.user_id = k.user_id
    WHERE NOT (n.created_at >= $1::timestamptz AND n.created_at < $2::timestamptz)
      AND NOT (
          n.created_at >= $3::timestamptz AND n.created_at < $1::timestamptz
          AND (n.status IN ('pending', 'processing') OR coalesce(n.completed_at >= $1::timestamptz, false))
      )
) AS i
JOIN ts_fal_tasks AS t ON t.id = i.id
LEFT JOIN LATERAL (
    SELECT
        array_agg(c.online_task_id::text ORDER BY c.attempt) AS online_ids,
        array_agg(c.key_id::text ORDER BY c.attempt) AS key_ids,
        min(c.online_task_id COLLATE "C") FILTER (WHERE c.online_task_id <> '') AS least
    FROM scrip_task_attempts AS c
    WHERE c.user_id = t.user_id AND c.task_id = t.task_id
) AS a ON true
ORDER BY coalesce(least(a.least, nullif(t.online_task_id, '') COLLATE "C"), ''), t.task_id COLLATE "C"
