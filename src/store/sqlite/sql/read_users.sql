-- The users of a JSON array of ids; CROSS JOIN keeps the ids outermost, so each is one seek.
SELECT u.id, u.points_balance, u.cash_balance, u.points_held, u.cash_held, u.entry_seq, u.chain_hash,
       u.last_entry_at, u.created_at, u.updated_at
FROM json_each(?1) AS k
CROSS JOIN ts_users AS u ON u.id = k.value
