-- Locks the users of a chunk of costs, as a batch locks its own and in the same order: nobody else writes their tasks.
SELECT u.id
FROM ts_users AS u
WHERE u.id IN (
    SELECT c.user_id FROM scrip_reconciliation_costs AS c
    WHERE c.run_id = $1::bigint AND c.number > $2::bigint AND c.number <= $3::bigint AND c.applied_at IS NULL
)
ORDER BY u.id
FOR NO KEY UPDATE OF u
