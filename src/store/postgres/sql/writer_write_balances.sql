-- What fal says of the credit of workspaces, to each of their accounts: after the accounts themselves, some of which may
-- be new or have moved.
UPDATE ts_fal_account AS a
SET balance_nano_usd = n.balance_nano_usd
FROM unnest($1::text[], $2::bigint[]) AS n (workspace, balance_nano_usd)
WHERE a.workspace = n.workspace
