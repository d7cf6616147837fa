-- The events a run judges, by request: those of the time and workspaces asked for that its own fetch saw through the
-- account that stands for the workspace.
DECLARE run_events NO SCROLL CURSOR FOR
SELECT s.account_id, e.request_id, e.endpoint_id, e.billed_at, e.cost_nano_usd, e.units_nano
FROM unnest($1::text[], $2::bigint[]) AS s (workspace, account_id)
JOIN scrip_billing_events AS e ON e.workspace = s.workspace AND e.account_id = s.account_id
WHERE e.billed_at >= $3::timestamptz AND e.billed_at < $4::timestamptz AND e.pass = $5::bigint
  AND e.cost_nano_usd IS NOT NULL
ORDER BY e.request_id, e.workspace, e.billed_at, e.digest
