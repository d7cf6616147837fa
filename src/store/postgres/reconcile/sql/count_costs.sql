-- How many planned costs a chunk holds, and the number of the last.
SELECT count(*) AS seen, max(c.number) AS last
FROM (
    SELECT p.number FROM scrip_reconciliation_costs AS p
    WHERE p.run_id = $1::bigint AND p.number > $2::bigint
    ORDER BY p.number
    LIMIT $3::bigint
) AS c
