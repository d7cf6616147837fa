-- Events, each new or seen again: a row that a later pass has seen is that pass's.
INSERT INTO scrip_billing_events AS e
    (workspace, billed_at, request_id, digest, ordinal, first_run_id, account_id, endpoint_id, cost_nano_usd, units_nano,
     raw, pass, page)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workspace, billed_at, request_id, digest) DO UPDATE SET
    account_id = excluded.account_id, pass = excluded.pass, page = excluded.page
WHERE e.pass <= excluded.pass
