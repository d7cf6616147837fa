-- Findings of one severity, by rule and number: after a place, and no further than a rule.
SELECT
    f.severity_rank, f.rule, f.number, f.account_id, f.workspace, f.user_id, f.task_id, f.online_task_id, f.app_name,
    f.evidence
FROM scrip_findings AS f
WHERE f.run_id = $1::bigint AND f.severity_rank = $2::smallint AND (f.rule, f.number) > ($3::text, $4::bigint)
  AND f.rule <= $5::text
ORDER BY f.rule, f.number
LIMIT $6::bigint
