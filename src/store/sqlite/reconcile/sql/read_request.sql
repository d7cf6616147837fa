-- What a caller's key was used for before, and the run it began.
SELECT q.method, q.fingerprint, r.id
FROM scrip_requests AS q
LEFT JOIN scrip_reconciliations AS r ON r.request_id = q.request_id
WHERE q.user_id = 0 AND q.request_id = ?1
