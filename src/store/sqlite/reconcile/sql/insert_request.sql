-- Keeps a caller's key, with what it was used for.
INSERT INTO scrip_requests (user_id, request_id, method, fingerprint, created_at) VALUES (0, ?1, ?2, ?3, ?4)
