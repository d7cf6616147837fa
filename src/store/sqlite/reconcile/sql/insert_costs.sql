-- Costs that a run plans; those that an earlier try wrote are passed over.
INSERT INTO scrip_reconciliation_costs (run_id, number, user_id, task_id, from_nano_usd, to_nano_usd)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, number) DO NOTHING
