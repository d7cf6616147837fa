-- How many rows there are, by the server's own counters: for a progress bar alone.
SELECT coalesce(sum(greatest(c.reltuples::bigint, s.n_live_tup, 0)), 0)::bigint AS rows
FROM pg_catalog.pg_stat_user_tables AS s
JOIN pg_catalog.pg_class AS c ON c.oid = s.relid
WHERE s.schemaname = current_schema()
  AND s.relname IN ('ts_users', 'ts_financial_transactions', 'ts_points_detail', 'ts_fal_tasks', 'scrip_requests',
                    'scrip_leases')
