-- Where a window of so many points rows ends: orphans are mostly none, and are looked for window by window.
SELECT p.user_id, p.user_seq
FROM ts_points_detail AS p
WHERE (p.user_id, p.user_seq) > ($1::bigint, $2::bigint)
ORDER BY p.user_id, p.user_seq
OFFSET $3::bigint LIMIT 1
