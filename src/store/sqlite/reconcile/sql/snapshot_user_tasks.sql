-- What the ledgers took for the tasks of the period, by user. No entry of a task is older than the task: what is older
-- than the period (by a day, for clocks that were set back) is not read.
INSERT INTO temp.run_user_tasks (user_id, points_consumed, cash_consumed)
SELECT f.user_id,
       sum(CASE f.is_cash WHEN 0 THEN -f.money ELSE 0 END),
       sum(CASE f.is_cash WHEN 1 THEN -f.money ELSE 0 END)
FROM ts_financial_transactions AS f
CROSS JOIN temp.run_period AS p ON p.user_id = f.user_id AND p.task_id = f.order_id
WHERE f."time" >= ?1 AND f.operation IN ('charge', 'capture')
GROUP BY f.user_id
ORDER BY f.user_id
