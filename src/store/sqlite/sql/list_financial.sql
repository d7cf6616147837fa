-- A user's financial rows, newest first, from ?2 up to and without ?3.
SELECT f.user_seq, f.id, f.user_id, f.money, f.order_id, f.title, f.deployment_uuid, f."time", f.transaction_type,
       f.pay_type, f.is_cash
FROM ts_financial_transactions AS f
WHERE f.user_id = ?1 AND f.user_seq >= ?2 AND f.user_seq < ?3
  AND (?4 IS NULL OR f.order_id = ?4)
ORDER BY f.user_seq DESC
LIMIT ?5
