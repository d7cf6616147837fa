-- Forgets some rows of a run's report.
DELETE FROM scrip_reconciliation_rows
WHERE (run_id, layer, number) IN (
    SELECT r.run_id, r.layer, r.number FROM scrip_reconciliation_rows AS r WHERE r.run_id = ?1 LIMIT ?2
)
