-- All open leases of a JSON array of workspaces, the leases of one of ids, and the newest of each of one of tasks; of the
-- tasks of the leases named, too: it tells whether they were superseded.
WITH h (lease_id) AS (
    SELECT o.lease_id
    FROM json_each(?1) AS k
    CROSS JOIN ts_fal_account AS a ON a.workspace = k.value
    CROSS JOIN scrip_leases AS o ON o.account_id = a.id AND o.released_at IS NULL
    UNION
    SELECT k.value FROM json_each(?2) AS k
    UNION
    SELECT (SELECT n.lease_id FROM scrip_leases AS n WHERE n.task_id = k.value ORDER BY n.fence DESC LIMIT 1)
    FROM json_each(?3) AS k
    UNION
    SELECT (SELECT n.lease_id FROM scrip_leases AS n WHERE n.task_id = o.task_id ORDER BY n.fence DESC LIMIT 1)
    FROM json_each(?2) AS k
    CROSS JOIN scrip_leases AS o ON o.lease_id = k.value
)
SELECT l.lease_id, l.account_id, l.key_id, l.runner_id, l.user_id, l.task_id, l.fence, l.acquired_at, l.expires_at,
       l.released_at, l.outcome, l.is_probe, l.is_retry, l.estimated_cost_nano_usd
FROM h
CROSS JOIN scrip_leases AS l ON l.lease_id = h.lease_id
