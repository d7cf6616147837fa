-- All accounts of a JSON array of workspaces, deleted ones too.
SELECT a.id, a.name, a.workspace, a.api_key, a.billing_key_id, a.state, a.max_concurrency, a.priority, a.weight,
       a.allowed_apps, a.remark, a.use_cnt, a.error_cnt, a.created_at, a.updated_at, a.key_out_cause, a.key_out_since,
       a.key_out_until, a.key_probe_lease_id, a.key_strikes, a.key_returned_at
FROM json_each(?1) AS k
CROSS JOIN ts_fal_account AS a ON a.workspace = k.value
