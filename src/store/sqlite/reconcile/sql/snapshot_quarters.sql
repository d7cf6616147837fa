-- What the ledgers say of each quarter of an hour, by user: quarters are counted from 1970.
INSERT INTO temp.run_quarters (user_id, quarter, consumed, refunded, credited)
SELECT f.user_id, unixepoch(f."time") / 900 AS quarter,
       sum(CASE WHEN f.operation IN ('charge', 'capture') THEN -f.money ELSE 0 END),
       sum(CASE f.operation WHEN 'refund' THEN f.money ELSE 0 END),
       sum(CASE f.operation WHEN 'credit' THEN f.money ELSE 0 END)
FROM ts_financial_transactions AS f
WHERE f."time" >= ?1 AND f."time" < ?2 AND f.operation IN ('charge', 'capture', 'refund', 'credit')
GROUP BY f.user_id, quarter
ORDER BY f.user_id, quarter
