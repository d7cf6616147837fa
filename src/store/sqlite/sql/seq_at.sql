-- The first user_seq of a user at or after a moment, one past the newest if there is none, no row without the user.
-- An entry is never earlier than the one before it, so the chain is halved until one is left: no index on time.
WITH RECURSIVE halving (low, high) AS (
    SELECT 1, u.entry_seq + 1 FROM ts_users AS u WHERE u.id = ?1
    UNION ALL
    SELECT iif(f."time" < ?2, (h.low + h.high) / 2 + 1, h.low), iif(f."time" < ?2, h.high, (h.low + h.high) / 2)
    FROM halving AS h
    CROSS JOIN ts_financial_transactions AS f ON f.user_id = ?1 AND f.user_seq = (h.low + h.high) / 2
    WHERE h.low < h.high
)
SELECT h.low FROM halving AS h ORDER BY h.low DESC LIMIT 1
