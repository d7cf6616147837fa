-- Users credited for the first time.
INSERT INTO ts_users
    (id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at,
     created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
