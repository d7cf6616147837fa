-- A user's points rows, newest first, from ?2 up to and without ?3.
SELECT p.user_seq, p.id, p.user_id, p.points, p.order_id, p.title, p.source_type, p.balance_before, p.balance_after,
       p.created_at
FROM ts_points_detail AS p
WHERE p.user_id = ?1 AND p.user_seq >= ?2 AND p.user_seq < ?3
  AND (?4 IS NULL OR p.source_type = ?4)
  AND (?5 IS NULL OR p.order_id = ?5)
ORDER BY p.user_seq DESC
LIMIT ?6
