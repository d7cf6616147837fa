-- Idempotency records.
INSERT INTO scrip_requests
    (user_id, request_id, method, task_id, fingerprint, entry_seq, entry_count, late, refusal, created_at,
     lease_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
