-- Keys that were replaced, retired, erased, or stored again; created_at never changes.
WITH v (account_id, purpose, key_id, kek_id, sealed, retired_at) AS (
    VALUES (?, ?, ?, ?, ?, ?)
)
UPDATE scrip_account_keys AS s
SET kek_id = v.kek_id, sealed = v.sealed, retired_at = v.retired_at
FROM v
WHERE s.account_id = v.account_id AND s.purpose = v.purpose AND s.key_id = v.key_id
