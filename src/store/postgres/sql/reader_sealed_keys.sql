-- Keys that hold a secret, page by page in the order of the primary key, whose texts are compared by bytes.
SELECT
    k.account_id, k.purpose, k.key_id, k.kek_id, k.sealed, k.created_at AS key_created_at,
    k.retired_at AS key_retired_at
FROM scrip_account_keys AS k
WHERE (k.account_id, k.purpose, k.key_id) > ($1::bigint, $2::text, $3::text) AND k.sealed IS NOT NULL
ORDER BY k.account_id, k.purpose, k.key_id
LIMIT $4::bigint
