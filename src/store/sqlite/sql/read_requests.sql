-- The idempotency records of a JSON array of [user_id, request_id].
SELECT r.user_id, r.request_id, r.method, r.task_id, r.fingerprint, r.entry_seq, r.entry_count, r.late, r.refusal,
       r.created_at, r.lease_id
FROM json_each(?1) AS k
CROSS JOIN scrip_requests AS r ON r.user_id = k.value ->> 0 AND r.request_id = k.value ->> 1
