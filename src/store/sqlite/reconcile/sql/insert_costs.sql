-- Costs that a run plans.
INSERT INTO scrip_reconciliation_costs (run_id, number, user_id, task_id, from_nano_usd, to_nano_usd)
VALUES (?, ?, ?, ?, ?, ?)
