-- Accounts newest first, before an id, without deleted ones, each with its open leases and its workspace.
SELECT a.id, a.name, a.workspace, a.api_key, a.billing_key_id, a.state, a.max_concurrency, a.priority, a.weight,
       a.allowed_apps, a.remark, a.use_cnt, a.error_cnt, a.created_at, a.updated_at, a.key_out_cause, a.key_out_since,
       a.key_out_until, a.key_probe_lease_id, a.key_strikes, a.key_returned_at,
       (SELECT count(*) FROM scrip_leases AS l WHERE l.account_id = a.id AND l.released_at IS NULL),
       w.workspace,
       (SELECT max(b.balance_nano_usd) FROM ts_fal_account AS b
         WHERE b.workspace = w.workspace AND b.state <> 'deleted'),
       w.out_cause, w.out_since, w.out_until, w.probe_lease_id, w.strikes, w.returned_at, w.error_permille,
       w.latency_micros, w.reported_at, w.streak, w.streak_started_at, w.last_failure, w.last_failure_at,
       w.last_success_at
FROM ts_fal_account AS a
CROSS JOIN scrip_workspaces AS w ON w.workspace = a.workspace
WHERE a.id < ?1 AND a.state <> 'deleted'
ORDER BY a.id DESC
LIMIT ?2
