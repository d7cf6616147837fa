-- Movements of either purse.
INSERT INTO ts_financial_transactions
    (user_id, user_seq, money, order_id, title, deployment_uuid, "time", transaction_type, pay_type, is_cash,
     operation, source_type, balance_before, balance_after, request_id, actor, entry_hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
