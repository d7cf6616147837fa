-- Ends what has expired, so that a name's places and the count of all are free again.
UPDATE scrip_tokens SET revoked_at = ?1 WHERE revoked_at IS NULL AND expires_at <= ?1
