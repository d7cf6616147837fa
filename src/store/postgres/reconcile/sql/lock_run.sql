-- Whether a turn is not over: the run is not, and neither it nor another one was taken up since. The lock keeps this run
-- from being taken up until the transaction ends.
SELECT r.id
FROM scrip_reconciliations AS r
WHERE r.id = $1::bigint AND r.attempt = $2::bigint AND r.state = 'running'
  AND r.attempt = (SELECT max(m.attempt) FROM scrip_reconciliations AS m WHERE m.attempt > 0)
FOR NO KEY UPDATE OF r
