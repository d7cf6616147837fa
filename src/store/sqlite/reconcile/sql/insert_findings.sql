-- Findings of a run; those that an earlier try wrote are passed over.
INSERT INTO scrip_findings
    (run_id, severity_rank, rule, number, account_id, workspace, user_id, task_id, online_task_id, app_name, evidence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, severity_rank, rule, number) DO NOTHING
