-- Events, as far as they are new. A look-up a row, not a join:
-- what is planned while the table is empty must not read it whole when it is full.
INSERT INTO scrip_billing_events
    (workspace, billed_at, request_id, digest, ordinal, first_run_id, account_id, endpoint_id, cost_nano_usd, units_nano,
     raw, pass, page)
SELECT
    v.workspace, v.billed_at, v.request_id, v.digest, v.ordinal, $1::bigint, v.account_id, v.endpoint_id,
    v.cost_nano_usd, v.units_nano, v.raw, $2::bigint, $3::bigint
FROM unnest(
    $4::text[], $5::timestamptz[], $6::text[], $7::bytea[], $8::bigint[], $9::bigint[], $10::text[], $11::bigint[],
    $12::bigint[], $13::text[]
) AS v (
    workspace, billed_at, request_id, digest, ordinal, account_id, endpoint_id, cost_nano_usd, units_nano, raw
)
WHERE (
    SELECT true FROM scrip_billing_events AS e
    WHERE e.workspace = v.workspace AND e.billed_at = v.billed_at AND e.request_id = v.request_id
      AND e.digest = v.digest
) IS NULL
