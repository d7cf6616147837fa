-- Every token ever made, without what proves it.
SELECT id, name, roles, first_user, last_user, created_at, expires_at, revoked_at
FROM scrip_tokens
WHERE id > ?1
ORDER BY id
LIMIT ?2
