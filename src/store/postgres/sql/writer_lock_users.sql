-- Locks the batch's users in one order for every replica, and reads what each lock guards of the row itself.
-- NO KEY UPDATE: readers are not kept out, and no key changes. A row that had to be waited for is read as it is then.
SELECT
    u.id, u.points_balance, u.cash_balance, u.points_held, u.cash_held, u.entry_seq, u.chain_hash, u.last_entry_at,
    u.created_at, u.updated_at
FROM ts_users AS u
WHERE u.id = ANY($1::bigint[])
ORDER BY u.id
FOR NO KEY UPDATE
