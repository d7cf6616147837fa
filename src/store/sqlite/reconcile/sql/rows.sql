-- Rows of a run's report, by layer and number.
SELECT r.layer, r.number, r.content
FROM scrip_reconciliation_rows AS r
WHERE r.run_id = ?1 AND (r.layer, r.number) > (?2, ?3)
ORDER BY r.layer, r.number
LIMIT ?4
