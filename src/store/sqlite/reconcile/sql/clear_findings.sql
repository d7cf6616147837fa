-- Forgets some of a run's findings.
DELETE FROM scrip_findings
WHERE (run_id, severity_rank, rule, number) IN (
    SELECT f.run_id, f.severity_rank, f.rule, f.number FROM scrip_findings AS f WHERE f.run_id = ?1 LIMIT ?2
)
