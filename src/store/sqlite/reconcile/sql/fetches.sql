-- How far a run has fetched.
SELECT f.account_id, f.source, f.position, f.pages, f.rows, f.state, f.result, f.error, f.garbage
FROM scrip_reconciliation_fetches AS f
WHERE f.run_id = ?1
ORDER BY f.account_id, f.source
