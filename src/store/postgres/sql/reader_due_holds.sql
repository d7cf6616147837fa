-- Open holds whose time has passed, longest overdue first: the expiry sweep asks every second and mostly finds none.
SELECT t.user_id, t.task_id
FROM ts_fal_tasks AS t
WHERE t.hold_state = 'open' AND t.hold_expires_at <= now()
ORDER BY t.hold_expires_at
LIMIT $1::bigint
