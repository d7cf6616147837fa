-- Workspaces whose health changed; their credit stands with their accounts.
WITH v (workspace, out_cause, out_since, out_until, probe_lease_id, strikes, returned_at, error_permille,
        latency_micros, reported_at, streak, streak_started_at, last_failure, last_failure_at, last_success_at) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
)
UPDATE scrip_workspaces AS w
SET out_cause = v.out_cause, out_since = v.out_since, out_until = v.out_until, probe_lease_id = v.probe_lease_id,
    strikes = v.strikes, returned_at = v.returned_at, error_permille = v.error_permille,
    latency_micros = v.latency_micros, reported_at = v.reported_at, streak = v.streak,
    streak_started_at = v.streak_started_at, last_failure = v.last_failure, last_failure_at = v.last_failure_at,
    last_success_at = v.last_success_at
FROM v
WHERE w.workspace = v.workspace
