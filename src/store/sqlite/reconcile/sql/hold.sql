-- Takes or extends a lease by name: no row comes of it where another holder has it still.
INSERT INTO scrip_leader_leases AS l (name, holder, expires_at) VALUES (?1, ?2, ?4)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE l.holder = excluded.holder OR l.expires_at <= ?3
