-- Forgets some of the costs a run planned. What it wrote of them stands in the audit log.
DELETE FROM scrip_reconciliation_costs
WHERE (run_id, number) IN (
    SELECT c.run_id, c.number FROM scrip_reconciliation_costs AS c WHERE c.run_id = ?1 LIMIT ?2
)
