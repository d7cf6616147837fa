-- Ends a run as failed, as it was read. No turn is taken: who works at another run keeps theirs.
UPDATE scrip_reconciliations SET
    state = 'failed',
    phase = 'over',
    error = $3::text,
    completed_at = clock_timestamp()
WHERE id = $1::bigint AND attempt = $2::bigint AND state = 'running'
