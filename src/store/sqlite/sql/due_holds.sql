-- Open holds whose time has passed, longest overdue first; the words of the partial index, so that it is used. Not those
-- of a task that is leased: a runner is at work on it.
SELECT t.user_id, t.task_id
FROM ts_fal_tasks AS t
WHERE t.hold_state = 'open' AND t.hold_expires_at <= ?1
  AND NOT EXISTS (SELECT 1 FROM scrip_leases AS l
                  WHERE l.task_id = t.task_id AND l.released_at IS NULL AND l.expires_at > ?1)
ORDER BY t.hold_expires_at
LIMIT ?2
