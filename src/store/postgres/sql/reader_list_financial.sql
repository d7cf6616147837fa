-- A user's financial rows as the seed's readers know them, newest first.
SELECT
    f.id, f.user_id, f.user_seq, f.money, f.order_id, f.title, f.deployment_uuid, f."time", f.transaction_type,
    f.pay_type, f.is_cash
FROM ts_financial_transactions AS f
WHERE f.user_id = $1::bigint AND f.user_seq > $2::bigint AND f.user_seq <= $3::bigint
  AND ($4::text IS NULL OR f.order_id = $4::text)
ORDER BY f.user_seq DESC
LIMIT $5::bigint
