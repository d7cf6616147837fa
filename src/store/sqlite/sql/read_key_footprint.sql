-- The workspaces that a batch touches, by JSON arrays of accounts, leases, tasks, workspaces and ids of keys: those of
-- leases named, of the open lease of each task, of the account that has or had the key of a task that is processing.
SELECT a.workspace
FROM json_each(?1) AS k
CROSS JOIN ts_fal_account AS a ON a.id = k.value
UNION
SELECT a.workspace
FROM json_each(?2) AS k
CROSS JOIN scrip_leases AS l ON l.lease_id = k.value
CROSS JOIN ts_fal_account AS a ON a.id = l.account_id
UNION
SELECT a.workspace
FROM json_each(?3) AS k
CROSS JOIN scrip_leases AS l ON l.task_id = k.value AND l.released_at IS NULL
CROSS JOIN ts_fal_account AS a ON a.id = l.account_id
UNION
SELECT a.workspace
FROM json_each(?3) AS k
CROSS JOIN ts_fal_tasks AS t ON t.task_id = k.value AND t.status = 'processing'
CROSS JOIN scrip_account_keys AS s ON s.key_id = t.api_key AND s.purpose = 'lease'
CROSS JOIN ts_fal_account AS a ON a.id = s.account_id
UNION
SELECT k.value FROM json_each(?4) AS k
UNION
SELECT a.workspace
FROM json_each(?5) AS k
CROSS JOIN scrip_account_keys AS s ON s.key_id = k.value AND s.purpose = 'lease'
CROSS JOIN ts_fal_account AS a ON a.id = s.account_id
