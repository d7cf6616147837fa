-- What operators watch, read every few seconds: holds, leases and the size of the file. The words of the partial indexes,
-- so that they are used.
SELECT holds.open, holds.points, overdue.holds, leases.open, leases.overdue, pages.count * size.bytes
FROM (
    SELECT count(*) AS open, COALESCE(SUM(t.held_points + t.held_cash), 0) AS points
    FROM ts_fal_tasks AS t
    WHERE t.hold_state = 'open'
) AS holds
CROSS JOIN (
    SELECT count(*) AS holds
    FROM ts_fal_tasks AS t
    WHERE t.hold_state = 'open' AND t.hold_expires_at <= ?1
      AND NOT EXISTS (SELECT 1 FROM scrip_leases AS l
                      WHERE l.task_id = t.task_id AND l.released_at IS NULL AND l.expires_at > ?1)
) AS overdue
CROSS JOIN (
    SELECT count(*) AS open, COALESCE(SUM(l.expires_at <= ?1), 0) AS overdue
    FROM scrip_leases AS l
    WHERE l.released_at IS NULL
) AS leases
CROSS JOIN (SELECT page_count AS count FROM pragma_page_count()) AS pages
CROSS JOIN (SELECT page_size AS bytes FROM pragma_page_size()) AS size
