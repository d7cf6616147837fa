-- How far a source of an account has been fetched.
INSERT INTO scrip_reconciliation_fetches
    (run_id, account_id, source, position, pages, rows, state, result, error, garbage)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (run_id, account_id, source) DO UPDATE SET
    position = excluded.position, pages = excluded.pages, rows = excluded.rows, state = excluded.state,
    result = excluded.result, error = excluded.error, garbage = excluded.garbage
