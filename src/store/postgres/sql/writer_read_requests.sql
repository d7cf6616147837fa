-- The batch's idempotency records, and the batch's moment even where there is none.
SELECT
    clock.now,
    r.user_id, r.request_id, r.method, r.task_id, r.fingerprint, r.entry_seq, r.entry_count, r.late, r.refusal,
    r.lease_id, r.created_at
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN (
    unnest($1::bigint[], $2::text[]) AS k (user_id, request_id)
    JOIN scrip_requests AS r ON r.user_id = k.user_id AND r.request_id = k.request_id
) ON true
