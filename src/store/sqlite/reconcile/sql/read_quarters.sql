-- The next quarters of an hour, counted from 1970.
SELECT q.n, q.user_id, q.quarter, q.consumed, q.refunded, q.credited
FROM temp.run_quarters AS q
WHERE q.n > ?1
ORDER BY q.n
LIMIT ?2
