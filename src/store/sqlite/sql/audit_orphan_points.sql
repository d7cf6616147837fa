-- Points rows without a financial row of their number.
SELECT p.user_id, p.user_seq
FROM ts_points_detail AS p
WHERE (p.user_id, p.user_seq) > (?1, ?2)
  AND NOT EXISTS (SELECT 1 FROM ts_financial_transactions AS f
                  WHERE f.user_id = p.user_id AND f.user_seq = p.user_seq)
ORDER BY p.user_id, p.user_seq
LIMIT ?3
