-- The first that is told of a source of an account.
INSERT INTO scrip_reconciliation_fetches
    (run_id, account_id, source, position, pages, rows, state, result, error, garbage)
VALUES ($1::bigint, $2::bigint, $3::text, $4::text, $5::bigint, $6::bigint, $7::text, $8::text, $9::text, $10::bytea)
