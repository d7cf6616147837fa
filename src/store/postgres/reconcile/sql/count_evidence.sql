-- How many rows a run reads.
SELECT
    (
        SELECT count(*) FROM scrip_billing_events AS e
        WHERE e.workspace = ANY($1::text[]) AND e.billed_at >= $2::timestamptz AND e.billed_at < $3::timestamptz
    ) + (
        SELECT count(*) FROM ts_fal_tasks AS t
        WHERE t.created_at >= $4::timestamptz AND t.created_at < $5::timestamptz
    ) AS rows
