-- The events a run judges, in the order it reads them: those of the period, of its workspaces, that its own fetch saw
-- through the account that stands for the workspace. Sorted on disk.
INSERT INTO temp.run_events (account_id, request_id, endpoint_id, billed_at, cost_nano_usd, units_nano)
SELECT e.account_id, e.request_id, e.endpoint_id, e.billed_at, e.cost_nano_usd, e.units_nano
FROM json_each(?1) AS s
CROSS JOIN scrip_billing_events AS e
WHERE e.workspace = s.value ->> 0 AND e.billed_at >= ?2 AND e.billed_at < ?3 AND e.pass = ?4
  AND e.account_id = s.value ->> 1
ORDER BY e.request_id, e.workspace, e.billed_at, e.digest
