-- What open leases take of each workspace. Costs are summed in two halves, so that no sum overflows.
SELECT a.workspace, count(*), sum(l.estimated_cost_nano_usd >> 32), sum(l.estimated_cost_nano_usd & 4294967295)
FROM scrip_leases AS l
CROSS JOIN ts_fal_account AS a ON a.id = l.account_id
WHERE l.released_at IS NULL
GROUP BY a.workspace
