-- Financial rows with their points twins, in the order of the chains.
SELECT f.user_id, f.user_seq, f.operation, f.source_type, f.transaction_type, f.is_cash, f.money, f.balance_before,
       f.balance_after, f.order_id, f.title, f.deployment_uuid, f.pay_type, f."time", f.request_id, f.actor,
       f.entry_hash,
       p.points, p.order_id, p.title, p.source_type, p.balance_before, p.balance_after, p.created_at, p.request_id,
       p.actor
FROM ts_financial_transactions AS f
LEFT JOIN ts_points_detail AS p ON p.user_id = f.user_id AND p.user_seq = f.user_seq
WHERE (f.user_id, f.user_seq) > (?1, ?2)
ORDER BY f.user_id, f.user_seq
LIMIT ?3
