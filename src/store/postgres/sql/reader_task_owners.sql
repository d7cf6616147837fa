-- Whose tasks these are: a task-keyed command must lock its user before anything of the task is read for good.
SELECT t.task_id, t.user_id FROM ts_fal_tasks AS t WHERE t.task_id = ANY($1::text[])
