-- The next quarters of an hour.
SELECT q.n, q.user_id, q.starts_at, q.consumed, q.refunded, q.credited
FROM temp.run_quarters AS q
WHERE q.n > ?1
ORDER BY q.n
LIMIT ?2
