-- As reconciliation's write_costs, for Citus, which takes no volatile function here: the moment is the transaction's.
WITH written AS (
    UPDATE ts_fal_tasks AS t SET billed_cost_nano_usd = c.to_nano_usd
    FROM scrip_reconciliation_costs AS c
    WHERE c.run_id = $1::bigint AND c.number > $2::bigint AND c.number <= $3::bigint AND c.applied_at IS NULL
      AND t.task_id = c.task_id AND t.user_id = c.user_id
      AND t.billed_cost_nano_usd IS NOT DISTINCT FROM c.from_nano_usd
    RETURNING c.number
), noted AS (
    UPDATE scrip_reconciliation_costs AS c SET applied_at = now()
    FROM written AS w
    WHERE c.run_id = $1::bigint AND c.number = w.number
    RETURNING c.number
)
SELECT count(*) AS written FROM noted
