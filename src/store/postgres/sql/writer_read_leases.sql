-- The open leases of the locked accounts, the leases that are named, the newest lease of each task named and of the tasks
-- of the leases named (it tells whether they were superseded); and the batch's moment, even where there is no lease: after all locks, so that it judges both rooms.
SELECT
    clock.now,
    l.lease_id, l.account_id, l.key_id, l.runner_id, l.user_id, l.task_id, l.fence, l.acquired_at, l.expires_at,
    l.released_at, l.outcome, l.is_probe, l.is_retry, l.estimated_cost_nano_usd
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN scrip_leases AS l ON l.lease_id = ANY(ARRAY(
    SELECT n.lease_id FROM unnest($2::text[]) AS n (lease_id)
    UNION ALL
    SELECT o.lease_id
    FROM unnest($1::bigint[]) AS a (id)
    CROSS JOIN LATERAL (
        -- OFFSET 0: account by account, or a plan made while few are open reads all that ever are.
        SELECT l.lease_id FROM scrip_leases AS l WHERE l.account_id = a.id AND l.outcome IS NULL OFFSET 0
    ) AS o
    UNION ALL
    SELECT newest.lease_id
    FROM unnest($3::text[]) AS t (task_id)
    CROSS JOIN LATERAL (
        SELECT o.lease_id FROM scrip_leases AS o WHERE o.task_id = t.task_id ORDER BY o.fence DESC LIMIT 1
    ) AS newest
    UNION ALL
    SELECT newest.lease_id
    FROM unnest($2::text[]) AS n (lease_id)
    CROSS JOIN LATERAL (SELECT o.task_id FROM scrip_leases AS o WHERE o.lease_id = n.lease_id OFFSET 0) AS named
    CROSS JOIN LATERAL (
        SELECT o.lease_id FROM scrip_leases AS o WHERE o.task_id = named.task_id ORDER BY o.fence DESC LIMIT 1
    ) AS newest
))
