-- The next users of the period's tasks.
SELECT u.user_id, u.points_consumed, u.cash_consumed
FROM temp.run_user_tasks AS u
WHERE u.user_id > ?1
ORDER BY u.user_id
LIMIT ?2
