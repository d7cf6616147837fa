-- Gives a lease back, if it is this holder's.
DELETE FROM scrip_leader_leases AS l WHERE l.name = $1::text AND l.holder = $2::uuid
