-- The leases of a JSON array of ids, each with its account's name and the sealed key it was given.
SELECT l.lease_id, l.account_id, l.key_id, l.runner_id, l.user_id, l.task_id, l.fence, l.acquired_at, l.expires_at,
       l.released_at, l.outcome, l.is_probe, l.is_retry, l.estimated_cost_nano_usd, a.name, s.kek_id, s.sealed
FROM json_each(?1) AS k
CROSS JOIN scrip_leases AS l ON l.lease_id = k.value
CROSS JOIN ts_fal_account AS a ON a.id = l.account_id
LEFT JOIN scrip_account_keys AS s ON s.account_id = l.account_id AND s.purpose = 'lease' AND s.key_id = l.key_id
