-- Who has or had each key for leasing of a JSON array of ids, and those of the tasks of another that are processing.
SELECT s.key_id, s.account_id
FROM json_each(?1) AS k
CROSS JOIN scrip_account_keys AS s ON s.key_id = k.value AND s.purpose = 'lease'
UNION
SELECT s.key_id, s.account_id
FROM json_each(?2) AS k
CROSS JOIN ts_fal_tasks AS t ON t.task_id = k.value AND t.status = 'processing'
CROSS JOIN scrip_account_keys AS s ON s.key_id = t.api_key AND s.purpose = 'lease'
