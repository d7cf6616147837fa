-- Every account there is or was, with the ids of all keys that were ever leased of it.
SELECT
    a.id, a.name, a.workspace, a.balance_nano_usd, now() AS now,
    (
        SELECT array_agg(k.key_id::text ORDER BY k.key_id COLLATE "C")
        FROM scrip_account_keys AS k
        WHERE k.account_id = a.id AND k.purpose = 'lease'
    ) AS key_ids
FROM ts_fal_account AS a
ORDER BY a.id
