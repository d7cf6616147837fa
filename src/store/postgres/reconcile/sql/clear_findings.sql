-- Forgets some of a run's findings.
DELETE FROM scrip_findings AS f
USING (
    SELECT s.severity_rank, s.rule, s.number FROM scrip_findings AS s
    WHERE s.run_id = $1::bigint
    ORDER BY s.severity_rank, s.rule, s.number
    LIMIT $2::bigint
) AS k
WHERE f.run_id = $1::bigint AND f.severity_rank = k.severity_rank AND f.rule = k.rule AND f.number = k.number
