-- Findings of a run; those that an earlier try wrote are passed over. A look-up a row, not a join:
-- what is planned while the table is empty must not read it whole when it is full.
INSERT INTO scrip_findings
    (run_id, severity_rank, rule, number, account_id, workspace, user_id, task_id, online_task_id, app_name, evidence)
SELECT
    $1::bigint, v.severity_rank, v.rule, v.number, v.account_id, v.workspace, v.user_id, v.task_id, v.online_task_id,
    v.app_name, v.evidence
FROM unnest(
    $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::text[],
    $10::text[], $11::text[]
) AS v (severity_rank, rule, number, account_id, workspace, user_id, task_id, online_task_id, app_name, evidence)
WHERE (
    SELECT true FROM scrip_findings AS f
    WHERE f.run_id = $1::bigint AND f.severity_rank = v.severity_rank AND f.rule = v.rule AND f.number = v.number
) IS NULL
