-- Forgets some of the costs a run planned. What it wrote of them stands in the audit log.
DELETE FROM scrip_reconciliation_costs AS c
USING (
    SELECT s.number FROM scrip_reconciliation_costs AS s
    WHERE s.run_id = $1::bigint
    ORDER BY s.number
    LIMIT $2::bigint
) AS k
WHERE c.run_id = $1::bigint AND c.number = k.number
