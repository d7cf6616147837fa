-- Every lease, page by page, in the order of the bytes of task_id, as its column is collated.
SELECT
    l.lease_id, l.account_id, l.key_id, l.runner_id, l.user_id, l.task_id, l.fence, l.acquired_at, l.expires_at,
    l.released_at, l.outcome, l.is_probe, l.is_retry, l.estimated_cost_nano_usd
FROM scrip_leases AS l
WHERE (l.task_id, l.fence) > ($1::text, $2::bigint)
ORDER BY l.task_id, l.fence
LIMIT $3::bigint
