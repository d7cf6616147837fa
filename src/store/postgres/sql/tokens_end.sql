-- Ends what has expired, so that a name's places and the count of all are free again.
UPDATE scrip_tokens SET revoked_at = clock_timestamp() WHERE revoked_at IS NULL AND expires_at <= clock_timestamp()
