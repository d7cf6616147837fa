-- Ends a run as failed, as it was read. No turn is taken: who works at another run keeps theirs.
UPDATE scrip_reconciliations SET
    state = 'failed',
    phase = 'over',
    error = ?3,
    completed_at = ?4
WHERE id = ?1 AND attempt = ?2 AND state = 'running'
