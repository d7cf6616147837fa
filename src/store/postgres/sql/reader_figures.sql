-- What operators watch, read every few seconds: holds, leases and the size of the database. Each count stays within its
-- partial index or the rows that it names.
SELECT
    holds.open, holds.points, overdue.holds, leases.open AS leases, leases.overdue AS leases_overdue,
    pg_database_size(current_database()) AS bytes
FROM (
    SELECT count(*) AS open, coalesce(sum(t.held_points + t.held_cash), 0)::bigint AS points
    FROM ts_fal_tasks AS t
    WHERE t.hold_state = 'open'
) AS holds
CROSS JOIN (
    SELECT count(*) AS holds
    FROM ts_fal_tasks AS t
    WHERE t.hold_state = 'open' AND t.hold_expires_at <= now()
      AND NOT EXISTS (
          SELECT 1
          FROM scrip_leases AS l
          WHERE l.task_id = t.task_id AND l.released_at IS NULL AND l.expires_at > now()
      )
) AS overdue
CROSS JOIN (
    SELECT count(*) AS open, count(*) FILTER (WHERE l.expires_at <= now()) AS overdue
    FROM scrip_leases AS l
    WHERE l.released_at IS NULL
) AS leases
