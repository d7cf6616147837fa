-- How many events that say the same as each of these, in the same microsecond, earlier pages of the pass had.
SELECT v."key", (
    SELECT count(*) FROM scrip_billing_events AS e
    WHERE e.workspace = v.value ->> 0 AND e.billed_at = v.value ->> 1 AND e.request_id = v.value ->> 2
      AND e.endpoint_id = v.value ->> 3 AND e.cost_nano_usd IS v.value ->> 4 AND e.units_nano IS v.value ->> 5
      AND e.account_id = v.value ->> 6 AND e.pass = ?2 AND e.page < ?3
)
FROM json_each(?1) AS v
