-- Whose tasks these are, and the model each runs: a task-keyed command must lock its user before anything of the task is read for good.
SELECT t.task_id, t.user_id, t.app_name FROM ts_fal_tasks AS t WHERE t.task_id = ANY($1::text[])
