-- The tokens that are valid at a moment: every server asks each second.
SELECT id, name, roles, first_user, last_user, created_at, expires_at, revoked_at, digest
FROM scrip_tokens
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?1)
ORDER BY id
LIMIT ?2
