-- All keys that the accounts of a JSON array of workspaces have or had.
SELECT s.account_id, s.purpose, s.key_id, s.kek_id, s.sealed, s.created_at, s.retired_at
FROM json_each(?1) AS k
CROSS JOIN ts_fal_account AS a ON a.workspace = k.value
CROSS JOIN scrip_account_keys AS s ON s.account_id = a.id
