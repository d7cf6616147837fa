-- The next events that have a cost.
SELECT e.n, e.account_id, e.request_id, e.endpoint_id, e.billed_at, e.cost_nano_usd, e.units_nano
FROM temp.run_events AS e
WHERE e.n > ?1 AND e.cost_nano_usd IS NOT NULL
ORDER BY e.n
LIMIT ?2
