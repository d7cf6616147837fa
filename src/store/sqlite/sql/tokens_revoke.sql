-- Revokes one token, or all of a name; those that are over already stay as they are.
UPDATE scrip_tokens SET revoked_at = ?3
WHERE revoked_at IS NULL
  AND id IN (SELECT ?1 UNION ALL SELECT id FROM scrip_tokens WHERE name = ?2 AND revoked_at IS NULL)
RETURNING id, name, roles, first_user, last_user, created_at, expires_at, revoked_at
