-- Secrets sealed anew, each only where the row still holds what was opened: one that was replaced or erased meanwhile
-- stays as it is.
UPDATE scrip_account_keys AS k
SET kek_id = n.kek_id, sealed = n.sealed
FROM unnest(
    $1::bigint[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::bytea[]
) AS n (
    account_id, purpose, key_id, old_kek_id, old_sealed, kek_id, sealed
)
WHERE k.account_id = n.account_id AND k.purpose = n.purpose AND k.key_id = n.key_id
  AND k.kek_id = n.old_kek_id AND k.sealed = n.old_sealed
