-- Leases by their ids, each with its account's name and the key it was given, sealed.
SELECT
    l.lease_id, l.account_id, l.key_id, l.runner_id, l.user_id, l.task_id, l.fence, l.acquired_at, l.expires_at,
    l.released_at, l.outcome, l.is_probe, l.is_retry, l.estimated_cost_nano_usd,
    a.name, k.kek_id, k.sealed
FROM scrip_leases AS l
JOIN ts_fal_account AS a ON a.id = l.account_id
LEFT JOIN scrip_account_keys AS k ON k.account_id = l.account_id AND k.purpose = 'lease' AND k.key_id = l.key_id
WHERE l.lease_id = ANY($1::text[])
