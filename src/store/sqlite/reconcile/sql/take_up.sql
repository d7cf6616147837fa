-- Takes a run up as it was read. The fetch goes on where nobody else was at work since; else a new pass begins, but for a
-- run that has been judged.
UPDATE scrip_reconciliations AS r SET
    attempt = n.newest + 1,
    pass = CASE
        WHEN r.attempt > 0 AND (r.attempt = n.newest OR r.phase = 'applying' AND r.summary <> '') THEN r.pass
        ELSE n.newest + 1
    END,
    tries = r.tries + 1,
    retry_at = ?3
FROM (SELECT coalesce(max(m.attempt), 0) AS newest FROM scrip_reconciliations AS m WHERE m.attempt > 0) AS n
WHERE r.id = ?1 AND r.attempt = ?2 AND r.state = 'running'
RETURNING attempt, pass
