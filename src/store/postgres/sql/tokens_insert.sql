-- Keeps a token. That both places of its name were free a moment ago is no proof: the index decides.
INSERT INTO scrip_tokens (name, slot, digest, roles, first_user, last_user, created_at, expires_at)
VALUES ($1::text, $2::smallint, $3::bytea, $4::text, $5::bigint, $6::bigint, clock_timestamp(), $7::timestamptz)
RETURNING id, name, roles, first_user, last_user, created_at, expires_at, revoked_at
