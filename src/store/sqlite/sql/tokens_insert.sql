-- Keeps a token.
INSERT INTO scrip_tokens (name, slot, digest, roles, first_user, last_user, created_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
RETURNING id, name, roles, first_user, last_user, created_at, expires_at, revoked_at
