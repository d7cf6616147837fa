-- What the ledgers took for the tasks of the period, by user. No entry of a task is older than the task: what is older
-- than the period (by a day, for clocks that were set back) is not read.
DECLARE run_user_tasks NO SCROLL CURSOR FOR
SELECT
    f.user_id,
    coalesce(sum(-f.money) FILTER (WHERE f.is_cash = 0), 0)::bigint AS points_consumed,
    coalesce(sum(-f.money) FILTER (WHERE f.is_cash = 1), 0)::bigint AS cash_consumed
FROM ts_financial_transactions AS f
JOIN ts_fal_tasks AS t ON t.task_id = f.order_id AND t.user_id = f.user_id
WHERE f."time" >= $3::timestamptz AND f.operation IN ('charge', 'capture')
  AND t.created_at >= $1::timestamptz AND t.created_at < $2::timestamptz
GROUP BY f.user_id
ORDER BY f.user_id
