-- All accounts; deleted ones where the parameter is '1'.
SELECT a.id, a.name, a.workspace, a.api_key, a.billing_key_id, a.state, a.max_concurrency, a.priority, a.weight,
       a.allowed_apps, a.remark, a.use_cnt, a.error_cnt, a.created_at, a.updated_at, a.key_out_cause, a.key_out_since,
       a.key_out_until, a.key_probe_lease_id, a.key_strikes, a.key_returned_at
FROM ts_fal_account AS a
WHERE ?1 = '1' OR a.state <> 'deleted'
ORDER BY a.id
