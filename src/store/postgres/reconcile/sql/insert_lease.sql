-- Takes a lease by name that nobody ever had.
INSERT INTO scrip_leader_leases (name, holder, expires_at)
SELECT $1::text, $2::uuid, clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE NOT EXISTS (SELECT 1 FROM scrip_leader_leases AS l WHERE l.name = $1::text)
