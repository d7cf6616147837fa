-- Rows of a run's report; those that an earlier try wrote are passed over. A look-up a row, not a join:
-- what is planned while the table is empty must not read it whole when it is full.
INSERT INTO scrip_reconciliation_rows (run_id, layer, number, content)
SELECT $1::bigint, $2::smallint, v.number, v.content
FROM unnest($3::bigint[], $4::text[]) AS v (number, content)
WHERE (
    SELECT true FROM scrip_reconciliation_rows AS r
    WHERE r.run_id = $1::bigint AND r.layer = $2::smallint AND r.number = v.number
) IS NULL
