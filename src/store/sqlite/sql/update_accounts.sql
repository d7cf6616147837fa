-- Accounts that operators or reports changed; created_at never does, and credit is written by workspace.
WITH v (id, name, workspace, api_key, billing_key_id, state, status, max_concurrency, priority, weight, allowed_apps,
        remark, use_cnt, error_cnt, updated_at, key_out_cause, key_out_since, key_out_until, key_probe_lease_id,
        key_strikes, key_returned_at) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
)
UPDATE ts_fal_account AS a
SET name = v.name, workspace = v.workspace, api_key = v.api_key, billing_key_id = v.billing_key_id, state = v.state,
    status = v.status, max_concurrency = v.max_concurrency, priority = v.priority, weight = v.weight,
    allowed_apps = v.allowed_apps, remark = v.remark, use_cnt = v.use_cnt, error_cnt = v.error_cnt,
    updated_at = v.updated_at, key_out_cause = v.key_out_cause, key_out_since = v.key_out_since,
    key_out_until = v.key_out_until, key_probe_lease_id = v.key_probe_lease_id, key_strikes = v.key_strikes,
    key_returned_at = v.key_returned_at
FROM v
WHERE a.id = v.id
