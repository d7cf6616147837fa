-- New leases.
INSERT INTO scrip_leases
    (lease_id, expires_at, released_at, outcome, account_id, key_id, runner_id, user_id, task_id, fence, acquired_at,
     is_probe, is_retry, estimated_cost_nano_usd)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
