-- Takes or extends a lease by name that is this holder's, or nobody's any more.
UPDATE scrip_leader_leases AS l
SET holder = $2::uuid, expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE l.name = $1::text AND (l.holder = $2::uuid OR l.expires_at <= clock_timestamp())
