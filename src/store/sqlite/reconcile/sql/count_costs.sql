-- How many planned costs a chunk holds, and the number of the last.
SELECT count(*), max(c.number)
FROM (
    SELECT p.number FROM scrip_reconciliation_costs AS p
    WHERE p.run_id = ?1 AND p.number > ?2
    ORDER BY p.number
    LIMIT ?3
) AS c
