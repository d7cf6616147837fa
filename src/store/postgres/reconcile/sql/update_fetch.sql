-- How far a source of an account has been fetched by now.
UPDATE scrip_reconciliation_fetches AS f SET
    position = $4::text, pages = $5::bigint, rows = $6::bigint, state = $7::text, result = $8::text, error = $9::text,
    garbage = $10::bytea
WHERE f.run_id = $1::bigint AND f.account_id = $2::bigint AND f.source = $3::text
