-- Open holds whose time has passed, longest overdue first; the words of the partial index, so that it is used.
SELECT t.user_id, t.task_id
FROM ts_fal_tasks AS t
WHERE t.hold_state = 'open' AND t.hold_expires_at <= ?1
ORDER BY t.hold_expires_at
LIMIT ?2
