-- As writer_lock_users, for Citus, which refuses to lock rows of several shards by SELECT. The order is that of the shards:
-- two batches that cross are a deadlock, which Citus finds and ends one of, to be decided again.
UPDATE ts_users AS u
SET updated_at = u.updated_at
WHERE u.id = ANY($1::bigint[])
RETURNING
    u.id, u.points_balance, u.cash_balance, u.points_held, u.cash_held, u.entry_seq, u.chain_hash, u.last_entry_at,
    u.created_at, u.updated_at
