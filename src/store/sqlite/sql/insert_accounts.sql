-- New accounts; their credit is written by workspace.
INSERT INTO ts_fal_account
    (id, name, workspace, api_key, billing_key_id, state, status, max_concurrency, priority, weight, allowed_apps,
     remark, use_cnt, error_cnt, updated_at, key_out_cause, key_out_since, key_out_until, key_probe_lease_id,
     key_strikes, key_returned_at, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
