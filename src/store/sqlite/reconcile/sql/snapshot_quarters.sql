-- What the ledgers say of each quarter of an hour, by user. A moment is text: its minutes are two digits of it.
INSERT INTO temp.run_quarters (user_id, starts_at, consumed, refunded, credited)
SELECT f.user_id,
       substr(f."time", 1, 14) || printf('%02d', CAST(substr(f."time", 15, 2) AS INTEGER) / 15 * 15) || ':00.000000' AS starts_at,
       sum(CASE WHEN f.operation IN ('charge', 'capture') THEN -f.money ELSE 0 END),
       sum(CASE f.operation WHEN 'refund' THEN f.money ELSE 0 END),
       sum(CASE f.operation WHEN 'credit' THEN f.money ELSE 0 END)
FROM ts_financial_transactions AS f
WHERE f."time" >= ?1 AND f."time" < ?2 AND f.operation IN ('charge', 'capture', 'refund', 'credit')
GROUP BY f.user_id, starts_at
ORDER BY f.user_id, starts_at
