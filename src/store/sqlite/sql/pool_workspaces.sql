-- All workspaces, each with its credit as its accounts know it.
SELECT w.workspace,
       (SELECT max(b.balance_nano_usd) FROM ts_fal_account AS b
         WHERE b.workspace = w.workspace AND b.state <> 'deleted'),
       w.out_cause, w.out_since, w.out_until, w.probe_lease_id, w.strikes, w.returned_at, w.error_permille,
       w.latency_micros, w.reported_at, w.streak, w.streak_started_at, w.last_failure, w.last_failure_at,
       w.last_success_at
FROM scrip_workspaces AS w
ORDER BY w.workspace
