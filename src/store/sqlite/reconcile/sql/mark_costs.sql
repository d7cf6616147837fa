-- Notes which planned costs of a chunk are about to be written: those whose tasks have the cost the plan started from.
UPDATE scrip_reconciliation_costs AS c SET applied_at = ?4
WHERE c.run_id = ?1 AND c.number > ?2 AND c.number <= ?3 AND c.applied_at IS NULL
  AND EXISTS (
      SELECT 1 FROM ts_fal_tasks AS t
      WHERE t.task_id = c.task_id AND t.user_id = c.user_id AND t.billed_cost_nano_usd IS c.from_nano_usd
  )
