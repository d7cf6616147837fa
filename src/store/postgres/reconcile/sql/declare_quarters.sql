-- What the ledgers say of each quarter of an hour, by user.
DECLARE run_quarters NO SCROLL CURSOR FOR
SELECT
    f.user_id, date_bin('15 minutes', f."time", 'epoch'::timestamptz) AS starts_at,
    coalesce(sum(-f.money) FILTER (WHERE f.operation IN ('charge', 'capture')), 0)::bigint AS consumed,
    coalesce(sum(f.money) FILTER (WHERE f.operation = 'refund'), 0)::bigint AS refunded,
    coalesce(sum(f.money) FILTER (WHERE f.operation = 'credit'), 0)::bigint AS credited
FROM ts_financial_transactions AS f
WHERE f."time" >= $1::timestamptz AND f."time" < $2::timestamptz
  AND f.operation IN ('charge', 'capture', 'refund', 'credit')
GROUP BY f.user_id, starts_at
ORDER BY f.user_id, starts_at
