-- Leases that were renewed or closed; the rest of a lease stays as it was given.
WITH v (lease_id, expires_at, released_at, outcome) AS (
    VALUES (?, ?, ?, ?)
)
UPDATE scrip_leases AS l
SET expires_at = v.expires_at, released_at = v.released_at, outcome = v.outcome
FROM v
WHERE l.lease_id = v.lease_id
