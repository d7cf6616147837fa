-- The whole pool in one snapshot: every workspace with what its open leases take, a row for each account of it that is
-- not deleted; and the moment, even where there is nothing.
SELECT
    clock.now,
    pool.in_use, pool.committed_nano_usd, pool.balance_nano_usd,
    pool.workspace, pool.out_cause, pool.out_since, pool.out_until, pool.probe_lease_id, pool.strikes,
    pool.returned_at, pool.error_permille, pool.latency_micros, pool.reported_at, pool.streak, pool.streak_started_at,
    pool.last_failure, pool.last_failure_at, pool.last_success_at,
    pool.id, pool.name, pool.api_key, pool.billing_key_id, pool.state, pool.max_concurrency, pool.priority,
    pool.weight, pool.allowed_apps, pool.remark, pool.use_cnt, pool.error_cnt, pool.key_out_cause, pool.key_out_since,
    pool.key_out_until, pool.key_probe_lease_id, pool.key_strikes, pool.key_returned_at, pool.created_at,
    pool.updated_at
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN (
    SELECT
        w.workspace, w.out_cause, w.out_since, w.out_until, w.probe_lease_id, w.strikes, w.returned_at,
        w.error_permille, w.latency_micros, w.reported_at, w.streak, w.streak_started_at, w.last_failure,
        w.last_failure_at, w.last_success_at,
        a.id, a.name, a.api_key, a.billing_key_id, a.state, a.max_concurrency, a.priority, a.weight, a.allowed_apps,
        a.remark, a.use_cnt, a.error_cnt, a.key_out_cause, a.key_out_since, a.key_out_until, a.key_probe_lease_id,
        a.key_strikes, a.key_returned_at, a.created_at, a.updated_at,
        u.in_use, u.committed_nano_usd,
        max(a.balance_nano_usd) OVER (PARTITION BY w.workspace) AS balance_nano_usd
    FROM scrip_workspaces AS w
    LEFT JOIN ts_fal_account AS a ON a.workspace = w.workspace AND a.state <> 'deleted'
    LEFT JOIN (
        SELECT
            o.workspace, count(*) AS in_use, least(sum(l.estimated_cost_nano_usd), 9223372036854775807)::bigint
                AS committed_nano_usd
        FROM scrip_leases AS l
        JOIN ts_fal_account AS o ON o.id = l.account_id
        WHERE l.released_at IS NULL
        GROUP BY o.workspace
    ) AS u ON u.workspace = w.workspace
) AS pool ON true
ORDER BY pool.workspace COLLATE "C", pool.id
