-- The runs that one actor began, newest first, without what they left: of partial ones alone is asked what is missing.
SELECT
    r.id, r.period_start, r.period_end, r.state,
    CASE r.state WHEN 'partial' THEN r.summary ELSE '' END AS summary
FROM scrip_reconciliations AS r
WHERE r.id < $1::bigint AND r.actor = $2::text
ORDER BY r.id DESC
LIMIT $3::bigint
