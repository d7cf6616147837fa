-- Rows of a run's report; those that an earlier try wrote are passed over.
INSERT INTO scrip_reconciliation_rows (run_id, layer, number, content) VALUES (?, ?, ?, ?)
ON CONFLICT (run_id, layer, number) DO NOTHING
