-- The tasks of the period, by the key of their attempts and entries.
INSERT INTO temp.run_period (user_id, task_id)
SELECT t.user_id, t.task_id
FROM ts_fal_tasks AS t
WHERE t.created_at >= ?1 AND t.created_at < ?2
ORDER BY t.user_id, t.task_id
