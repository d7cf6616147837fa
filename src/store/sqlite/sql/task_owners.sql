-- Who owns the tasks of a JSON array of ids, and the model each runs.
SELECT t.task_id, t.user_id, t.app_name
FROM json_each(?1) AS k
CROSS JOIN ts_fal_tasks AS t ON t.task_id = k.value
