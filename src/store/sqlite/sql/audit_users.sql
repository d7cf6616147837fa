-- Users by id.
SELECT u.id, u.points_balance, u.cash_balance, u.points_held, u.cash_held, u.entry_seq, u.chain_hash,
       u.last_entry_at, u.created_at, u.updated_at
FROM ts_users AS u
WHERE u.id > ?1
ORDER BY u.id
LIMIT ?2
