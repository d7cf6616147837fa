-- Attempts as runners reported them.
INSERT INTO scrip_task_attempts
    (user_id, task_id, attempt, online_task_id, key_id, lease_id, started_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
