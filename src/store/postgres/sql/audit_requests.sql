-- Every idempotency record, page by page. Ids compare as the database's collation has them, in the key as in the order.
SELECT
    r.user_id, r.request_id, r.method, r.task_id, r.fingerprint, r.entry_seq, r.entry_count, r.late, r.refusal,
    r.lease_id, r.created_at
FROM scrip_requests AS r
WHERE (r.user_id, r.request_id) > ($1::bigint, $2::text)
ORDER BY r.user_id, r.request_id
LIMIT $3::bigint
