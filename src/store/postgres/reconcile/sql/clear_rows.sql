-- Forgets some rows of a run's report.
DELETE FROM scrip_reconciliation_rows AS r
USING (
    SELECT s.layer, s.number FROM scrip_reconciliation_rows AS s
    WHERE s.run_id = $1::bigint
    ORDER BY s.layer, s.number
    LIMIT $2::bigint
) AS k
WHERE r.run_id = $1::bigint AND r.layer = k.layer AND r.number = k.number
