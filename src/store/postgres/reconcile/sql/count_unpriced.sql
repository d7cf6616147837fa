-- How many of these events have no cost.
SELECT count(*) AS rows
FROM scrip_billing_events AS e
WHERE e.workspace = ANY($1::text[]) AND e.billed_at >= $2::timestamptz AND e.billed_at < $3::timestamptz
  AND e.pass = $4::bigint AND e.cost_nano_usd IS NULL
