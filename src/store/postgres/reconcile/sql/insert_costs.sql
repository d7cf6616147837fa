-- Costs that a run plans; those that an earlier try wrote are passed over. A look-up a row, not a join:
-- what is planned while the table is empty must not read it whole when it is full.
INSERT INTO scrip_reconciliation_costs (run_id, number, user_id, task_id, from_nano_usd, to_nano_usd)
SELECT $1::bigint, v.number, v.user_id, v.task_id, v.from_nano_usd, v.to_nano_usd
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[])
    AS v (number, user_id, task_id, from_nano_usd, to_nano_usd)
WHERE (
    SELECT true FROM scrip_reconciliation_costs AS c WHERE c.run_id = $1::bigint AND c.number = v.number
) IS NULL
