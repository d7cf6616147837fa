-- Writes the costs of a chunk that were just noted, to the one column that is reconciliation's.
UPDATE ts_fal_tasks AS t SET billed_cost_nano_usd = c.to_nano_usd
FROM scrip_reconciliation_costs AS c
WHERE c.run_id = ?1 AND c.number > ?2 AND c.number <= ?3 AND c.applied_at = ?4
  AND t.task_id = c.task_id AND t.user_id = c.user_id AND t.billed_cost_nano_usd IS c.from_nano_usd
