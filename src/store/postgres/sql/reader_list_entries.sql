-- A user's entries, newest first. Moments come as numbers of entries ($2 exclusive, $3 inclusive): the primary key
-- finds those.
SELECT
    f.user_id, f.user_seq, f.money, f.order_id, f.title, f.deployment_uuid, f."time", f.pay_type, f.is_cash,
    f.operation, f.source_type, f.balance_before, f.balance_after, f.request_id, f.actor, f.entry_hash
FROM ts_financial_transactions AS f
WHERE f.user_id = $1::bigint AND f.user_seq > $2::bigint AND f.user_seq <= $3::bigint
  AND ($4::integer IS NULL OR f.is_cash = $4::integer)
  AND ($5::text IS NULL OR f.operation = $5::text)
  AND ($6::text IS NULL OR f.order_id = $6::text)
ORDER BY f.user_seq DESC
LIMIT $7::bigint
