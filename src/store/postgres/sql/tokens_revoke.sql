-- Revokes one token, or all of a name; those that are over already stay as they are.
UPDATE scrip_tokens SET revoked_at = clock_timestamp()
WHERE revoked_at IS NULL AND (id = $1::bigint OR name = $2::text)
RETURNING id, name, roles, first_user, last_user, created_at, expires_at, revoked_at
