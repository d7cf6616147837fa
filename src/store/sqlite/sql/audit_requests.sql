-- Idempotency records by key.
SELECT r.user_id, r.request_id, r.method, r.task_id, r.fingerprint, r.entry_seq, r.entry_count, r.late, r.refusal,
       r.created_at, r.lease_id
FROM scrip_requests AS r
WHERE (r.user_id, r.request_id) > (?1, ?2)
ORDER BY r.user_id, r.request_id
LIMIT ?3
