-- Events that were kept before are seen again: a row that a later pass has seen is that pass's.
UPDATE scrip_billing_events AS e SET account_id = v.account_id, pass = $1::bigint, page = $2::bigint
FROM unnest($3::text[], $4::timestamptz[], $5::text[], $6::bytea[], $7::bigint[])
    AS v (workspace, billed_at, request_id, digest, account_id)
WHERE e.workspace = v.workspace AND e.billed_at = v.billed_at AND e.request_id = v.request_id AND e.digest = v.digest
  AND e.pass <= $1::bigint
