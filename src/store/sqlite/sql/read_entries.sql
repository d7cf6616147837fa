-- The entries of a JSON array of [user_id, first user_seq, first user_seq past it]: a replay's original entries.
SELECT f.user_id, f.user_seq, f.is_cash, f.operation, f.source_type, f.money, f.balance_before, f.balance_after,
       f.order_id, f.title, f.deployment_uuid, f.pay_type, f."time", f.request_id, f.actor, f.entry_hash
FROM json_each(?1) AS k
CROSS JOIN ts_financial_transactions AS f
    ON f.user_id = k.value ->> 0 AND f.user_seq >= k.value ->> 1 AND f.user_seq < k.value ->> 2
