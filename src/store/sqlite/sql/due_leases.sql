-- Open leases whose time has passed, longest overdue first; the words of the partial index, so that it is used.
SELECT l.lease_id
FROM scrip_leases AS l
WHERE l.released_at IS NULL AND l.expires_at <= ?1
ORDER BY l.expires_at, l.lease_id
LIMIT ?2
