-- Users, newest first, after a cursor of both columns: many users may share a moment.
SELECT
    u.id, u.points_balance, u.cash_balance, u.points_held, u.cash_held, u.entry_seq, u.chain_hash, u.last_entry_at,
    u.created_at, u.updated_at
FROM ts_users AS u
WHERE $1::timestamptz IS NULL OR (u.created_at, u.id) < ($1::timestamptz, $2::bigint)
ORDER BY u.created_at DESC, u.id DESC
LIMIT $3::bigint
