-- Every token ever made, without what proves it.
SELECT t.id, t.name, t.roles, t.first_user, t.last_user, t.created_at, t.expires_at, t.revoked_at
FROM scrip_tokens AS t
WHERE t.id > $1::bigint
ORDER BY t.id
LIMIT $2::bigint
