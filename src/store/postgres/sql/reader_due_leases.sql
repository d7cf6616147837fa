-- Open leases whose time has passed, longest overdue first: the sweep asks every second and mostly finds none.
SELECT l.lease_id
FROM scrip_leases AS l
WHERE l.released_at IS NULL AND l.expires_at <= now()
ORDER BY l.expires_at
LIMIT $1::bigint
