-- How many events that say the same as each of these, in the same microsecond, earlier pages of the pass had.
SELECT (
    SELECT count(*) FROM scrip_billing_events AS e
    WHERE e.workspace = v.workspace AND e.billed_at = v.billed_at AND e.request_id = v.request_id
      AND e.endpoint_id = v.endpoint_id AND e.cost_nano_usd IS NOT DISTINCT FROM v.cost_nano_usd
      AND e.units_nano IS NOT DISTINCT FROM v.units_nano AND e.account_id = v.account_id
      AND e.pass = $1::bigint AND e.page < $2::bigint
) AS twins
FROM unnest(
    $3::text[], $4::timestamptz[], $5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[]
) WITH ORDINALITY
    AS v (workspace, billed_at, request_id, account_id, endpoint_id, cost_nano_usd, units_nano, place)
ORDER BY v.place
