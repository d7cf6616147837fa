-- Other tasks to be read: those that an event names, and those from before the period that are open or were when it began.
INSERT INTO temp.run_others (task_id)
SELECT a.task_id
FROM temp.run_events AS e
CROSS JOIN scrip_task_attempts AS a ON a.online_task_id = e.request_id AND a.online_task_id <> ''
WHERE NOT EXISTS (SELECT 1 FROM temp.run_period AS p WHERE p.user_id = a.user_id AND p.task_id = a.task_id)
UNION
SELECT t.task_id
FROM ts_fal_tasks AS t
WHERE t.created_at >= ?1 AND t.created_at < ?2 AND (t.status IN ('pending', 'processing') OR t.completed_at >= ?2)
