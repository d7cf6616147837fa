-- A user's entries, newest first, from ?2 up to and without ?3.
SELECT f.user_id, f.user_seq, f.is_cash, f.operation, f.source_type, f.money, f.balance_before, f.balance_after,
       f.order_id, f.title, f.deployment_uuid, f.pay_type, f."time", f.request_id, f.actor, f.entry_hash
FROM ts_financial_transactions AS f
WHERE f.user_id = ?1 AND f.user_seq >= ?2 AND f.user_seq < ?3
  AND (?4 IS NULL OR f.is_cash = ?4)
  AND (?5 IS NULL OR f.operation = ?5)
  AND (?6 IS NULL OR f.order_id = ?6)
ORDER BY f.user_seq DESC
LIMIT ?7
