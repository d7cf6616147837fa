-- Keys stored for the first time.
INSERT INTO scrip_account_keys
    (account_id, purpose, key_id, kek_id, sealed, retired_at, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
