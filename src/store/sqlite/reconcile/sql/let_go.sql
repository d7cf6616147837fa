-- Gives a lease back, if it is this holder's.
DELETE FROM scrip_leader_leases WHERE name = ?1 AND holder = ?2
