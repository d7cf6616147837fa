-- What was heard of a workspace's credit goes to each of its accounts.
WITH v (workspace, balance_nano_usd) AS (
    VALUES (?, ?)
)
UPDATE ts_fal_account AS a
SET balance_nano_usd = v.balance_nano_usd
FROM v
WHERE a.workspace = v.workspace
