-- All accounts of the locked workspaces, deleted ones too, a row for each key that an account has or had; is_named marks
-- the keys that the batch names or that a task of it runs with. Accounts that the batch names are read wherever they
-- are: one that has moved out of what is locked must be noticed.
WITH named (key_id) AS MATERIALIZED (
    SELECT n.key_id FROM unnest($3::text[]) AS n (key_id)
    UNION
    SELECT t.api_key FROM ts_fal_tasks AS t WHERE t.task_id = ANY($4::text[]) AND t.status = 'processing'
)
SELECT
    a.id, a.name, a.workspace, a.api_key, a.billing_key_id, a.state, a.max_concurrency, a.priority, a.weight,
    a.allowed_apps, a.remark, a.use_cnt, a.error_cnt, a.key_out_cause, a.key_out_since, a.key_out_until,
    a.key_probe_lease_id, a.key_strikes, a.key_returned_at, a.created_at, a.updated_at,
    a.balance_nano_usd, k.account_id, k.purpose, k.key_id, k.kek_id, k.sealed, k.created_at AS key_created_at,
    k.retired_at AS key_retired_at,
    k.purpose = 'lease' AND k.key_id = ANY(ARRAY(SELECT n.key_id FROM named AS n)) AS is_named
FROM ts_fal_account AS a
LEFT JOIN scrip_account_keys AS k ON k.account_id = a.id
WHERE a.id = ANY(ARRAY(
    SELECT n.id FROM unnest($2::bigint[]) AS n (id)
    UNION ALL
    SELECT o.id FROM ts_fal_account AS o WHERE o.workspace = ANY($1::text[])
    UNION ALL
    SELECT o.account_id
    FROM scrip_account_keys AS o
    WHERE o.purpose = 'lease' AND o.key_id = ANY(ARRAY(SELECT n.key_id FROM named AS n))
))
ORDER BY a.id, k.purpose, k.key_id
