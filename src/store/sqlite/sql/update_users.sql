-- Users whose figures changed; created_at never does.
WITH v (id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at,
        updated_at) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
)
UPDATE ts_users AS t
SET points_balance = v.points_balance, cash_balance = v.cash_balance, points_held = v.points_held,
    cash_held = v.cash_held, entry_seq = v.entry_seq, chain_hash = v.chain_hash,
    last_entry_at = v.last_entry_at, updated_at = v.updated_at
FROM v
WHERE t.id = v.id
