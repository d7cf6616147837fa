-- Leases by task and fence.
SELECT l.lease_id, l.account_id, l.key_id, l.runner_id, l.user_id, l.task_id, l.fence, l.acquired_at, l.expires_at,
       l.released_at, l.outcome, l.is_probe, l.is_retry, l.estimated_cost_nano_usd
FROM scrip_leases AS l
WHERE (l.task_id, l.fence) > (?1, ?2)
ORDER BY l.task_id, l.fence
LIMIT ?3
