-- All workspaces, each with what its open leases take.
SELECT
    w.workspace, w.out_cause, w.out_since, w.out_until, w.probe_lease_id, w.strikes, w.returned_at, w.error_permille,
    w.latency_micros, w.reported_at, w.streak, w.streak_started_at, w.last_failure, w.last_failure_at,
    w.last_success_at,
    (
        SELECT max(b.balance_nano_usd)
        FROM ts_fal_account AS b
        WHERE b.workspace = w.workspace AND b.state <> 'deleted'
    ) AS balance_nano_usd,
    u.in_use, u.committed_nano_usd
FROM scrip_workspaces AS w
LEFT JOIN (
    SELECT
        o.workspace, count(*) AS in_use, least(sum(l.estimated_cost_nano_usd), 9223372036854775807)::bigint
            AS committed_nano_usd
    FROM scrip_leases AS l
    JOIN ts_fal_account AS o ON o.id = l.account_id
    WHERE l.released_at IS NULL
    GROUP BY o.workspace
) AS u ON u.workspace = w.workspace
ORDER BY w.workspace COLLATE "C"
