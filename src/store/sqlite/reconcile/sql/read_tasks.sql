-- The next tasks.
SELECT t.n, t.task_id, t.user_id, t.app_name, t.attempts, t.online_task_id, t.key_id, t.status, t.money, t.refunded,
       t.held, t.reported_cost_nano_usd, t.billed_cost_nano_usd, t.created_at, t.completed_at, t.live_lease
FROM temp.run_tasks AS t
WHERE t.n > ?1
ORDER BY t.n
LIMIT ?2
