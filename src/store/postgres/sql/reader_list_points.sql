-- A user's points rows, newest first; their numbers are those of their financial rows, and so are their times.
SELECT
    p.id, p.user_id, p.user_seq, p.points, p.order_id, p.title, p.source_type, p.balance_before, p.balance_after,
    p.created_at
FROM ts_points_detail AS p
WHERE p.user_id = $1::bigint AND p.user_seq > $2::bigint AND p.user_seq <= $3::bigint
  AND ($4::text IS NULL OR p.source_type = $4::text)
  AND ($5::text IS NULL OR p.order_id = $5::text)
ORDER BY p.user_seq DESC
LIMIT $6::bigint
