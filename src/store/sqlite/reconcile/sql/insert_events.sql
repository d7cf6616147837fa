-- Events, as far as they are new.
INSERT INTO scrip_billing_events
    (workspace, billed_at, request_id, digest, first_run_id, account_id, endpoint_id, cost_nano_usd, units_nano, raw)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (workspace, billed_at, request_id, digest) DO NOTHING
