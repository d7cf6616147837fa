-- Keys that hold a secret, after one given.
SELECT s.account_id, s.purpose, s.key_id, s.kek_id, s.sealed, s.created_at, s.retired_at
FROM scrip_account_keys AS s
WHERE (s.account_id, s.purpose, s.key_id) > (?1, ?2, ?3) AND s.sealed IS NOT NULL
ORDER BY s.account_id, s.purpose, s.key_id
LIMIT ?4
