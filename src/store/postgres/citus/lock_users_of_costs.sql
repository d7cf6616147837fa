-- As reconciliation's lock_users, for Citus, which refuses to lock rows of several shards by SELECT.
UPDATE ts_users AS u
SET updated_at = u.updated_at
WHERE u.id IN (
    SELECT c.user_id FROM scrip_reconciliation_costs AS c
    WHERE c.run_id = $1::bigint AND c.number > $2::bigint AND c.number <= $3::bigint AND c.applied_at IS NULL
)
