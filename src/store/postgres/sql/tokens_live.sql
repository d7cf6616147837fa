-- The tokens that are valid now: every server asks each second.
SELECT t.id, t.name, t.digest, t.roles, t.first_user, t.last_user, t.created_at, t.expires_at, t.revoked_at
FROM scrip_tokens AS t
WHERE t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
ORDER BY t.id
LIMIT $1::bigint
