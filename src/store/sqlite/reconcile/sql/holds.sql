-- Whether a turn is not over: the run is not, and neither it nor another one was taken up since.
SELECT 1
FROM scrip_reconciliations AS r
WHERE r.id = ?1 AND r.attempt = ?2 AND r.state = 'running'
  AND r.attempt = (SELECT max(m.attempt) FROM scrip_reconciliations AS m WHERE m.attempt > 0)
