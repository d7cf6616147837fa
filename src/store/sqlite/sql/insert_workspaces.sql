-- Workspaces heard of for the first time.
INSERT INTO scrip_workspaces
    (workspace, out_cause, out_since, out_until, probe_lease_id, strikes, returned_at, error_permille, latency_micros,
     reported_at, streak, streak_started_at, last_failure, last_failure_at, last_success_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
