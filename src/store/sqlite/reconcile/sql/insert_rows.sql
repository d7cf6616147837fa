-- Rows of a run's report.
INSERT INTO scrip_reconciliation_rows (run_id, layer, number, content) VALUES (?, ?, ?, ?)
