-- Secrets sealed anew; one that was replaced or erased since it was read stays as it is.
WITH v (account_id, purpose, key_id, kek_before, sealed_before, kek_after, sealed_after) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?)
)
UPDATE scrip_account_keys AS s
SET kek_id = v.kek_after, sealed = v.sealed_after
FROM v
WHERE s.account_id = v.account_id AND s.purpose = v.purpose AND s.key_id = v.key_id
  AND s.kek_id = v.kek_before AND s.sealed = v.sealed_before
