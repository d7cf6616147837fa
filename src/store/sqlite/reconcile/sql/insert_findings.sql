-- Findings of a run.
INSERT INTO scrip_findings
    (run_id, severity_rank, rule, number, account_id, workspace, user_id, task_id, online_task_id, app_name, evidence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
