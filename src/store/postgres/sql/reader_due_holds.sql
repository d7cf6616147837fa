-- Open holds whose time has passed, longest overdue first: the expiry sweep asks every second and mostly finds none.
-- A hold does not expire while its task has a live lease.
SELECT t.user_id, t.task_id
FROM ts_fal_tasks AS t
WHERE t.hold_state = 'open' AND t.hold_expires_at <= now()
  AND NOT EXISTS (
      SELECT 1
      FROM scrip_leases AS l
      WHERE l.task_id = t.task_id AND l.released_at IS NULL AND l.expires_at > now()
  )
ORDER BY t.hold_expires_at
LIMIT $1::bigint
