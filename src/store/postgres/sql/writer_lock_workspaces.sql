-- Locks the batch's workspaces in one order for every replica, whatever its collation, and reads the rows: those of the
-- accounts, leases, workspaces and keys that are named, of the open lease of each task named, and of the account that
-- has or had the key of each task named that is processing. A row that had to be waited for is read as it is then.
SELECT
    w.workspace, w.out_cause, w.out_since, w.out_until, w.probe_lease_id, w.strikes, w.returned_at, w.error_permille,
    w.latency_micros, w.reported_at, w.streak, w.streak_started_at, w.last_failure, w.last_failure_at,
    w.last_success_at
FROM scrip_workspaces AS w
WHERE w.workspace = ANY(ARRAY(
    SELECT n.workspace FROM unnest($1::text[]) AS n (workspace)
    UNION ALL
    SELECT a.workspace
    FROM ts_fal_account AS a
    WHERE a.id = ANY($2::bigint[])
       OR a.id = ANY(ARRAY(
           SELECT l.account_id FROM scrip_leases AS l WHERE l.lease_id = ANY($3::text[])
           UNION ALL
           SELECT newest.account_id
           FROM unnest($4::text[]) AS t (task_id)
           CROSS JOIN LATERAL (
               SELECT o.account_id, o.released_at
               FROM scrip_leases AS o
               WHERE o.task_id = t.task_id
               ORDER BY o.fence DESC
               LIMIT 1
           ) AS newest
           WHERE newest.released_at IS NULL
       ))
       OR a.id = ANY(ARRAY(
           SELECT k.account_id
           FROM scrip_account_keys AS k
           WHERE k.purpose = 'lease' AND k.key_id = ANY(ARRAY(
               SELECT n.key_id FROM unnest($5::text[]) AS n (key_id)
               UNION ALL
               SELECT t.api_key FROM ts_fal_tasks AS t WHERE t.task_id = ANY($4::text[]) AND t.status = 'processing'
           ))
       ))
))
ORDER BY w.workspace COLLATE "C"
FOR NO KEY UPDATE
