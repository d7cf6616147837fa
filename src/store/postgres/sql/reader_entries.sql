-- The entries of replayed commands, each by its key.
SELECT
    f.user_id, f.user_seq, f.money, f.order_id, f.title, f.deployment_uuid, f."time", f.pay_type, f.is_cash,
    f.operation, f.source_type, f.balance_before, f.balance_after, f.request_id, f.actor, f.entry_hash
FROM unnest($1::bigint[], $2::bigint[]) AS k (user_id, user_seq)
JOIN ts_financial_transactions AS f ON f.user_id = k.user_id AND f.user_seq = k.user_seq
