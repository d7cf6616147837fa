-- What operators add and replace: new workspaces, new accounts under ids drawn before, keys.
-- Answers how many keys were found to be changed, for a plan that misses one is a bug.
WITH new_workspaces AS (
    INSERT INTO scrip_workspaces (
        workspace, out_cause, out_since, out_until, probe_lease_id, strikes, returned_at, error_permille,
        latency_micros, reported_at, streak, streak_started_at, last_failure, last_failure_at, last_success_at
    )
    SELECT
        n.workspace, n.out_cause, n.out_since, n.out_until, n.probe_lease_id, n.strikes, n.returned_at,
        n.error_permille, n.latency_micros, n.reported_at, n.streak, n.streak_started_at, n.last_failure,
        n.last_failure_at, n.last_success_at
    FROM unnest(
        $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::bigint[], $7::timestamptz[],
        $8::bigint[], $9::bigint[], $10::timestamptz[], $11::bigint[], $12::timestamptz[], $13::text[],
        $14::timestamptz[], $15::timestamptz[]
    ) AS n (
        workspace, out_cause, out_since, out_until, probe_lease_id, strikes, returned_at, error_permille,
        latency_micros, reported_at, streak, streak_started_at, last_failure, last_failure_at, last_success_at
    )
),
new_accounts AS (
    INSERT INTO ts_fal_account (
        id, name, workspace, api_key, billing_key_id, state, max_concurrency, priority, weight, allowed_apps, remark,
        use_cnt, error_cnt, key_out_cause, key_out_since, key_out_until, key_probe_lease_id, key_strikes,
        key_returned_at, created_at, updated_at, status
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        n.id, n.name, n.workspace, n.api_key, n.billing_key_id, n.state, n.max_concurrency, n.priority, n.weight,
        n.allowed_apps, n.remark, n.use_cnt, n.error_cnt, n.key_out_cause, n.key_out_since, n.key_out_until,
        n.key_probe_lease_id, n.key_strikes, n.key_returned_at, n.created_at, n.updated_at,
        CASE n.state WHEN 'enabled' THEN 1 ELSE 0 END
    FROM unnest(
        $16::bigint[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::bigint[], $23::integer[],
        $24::bigint[], $25::text[], $26::text[], $27::bigint[], $28::bigint[], $29::text[], $30::timestamptz[],
        $31::timestamptz[], $32::text[], $33::bigint[], $34::timestamptz[], $35::timestamptz[], $36::timestamptz[]
    ) AS n (
        id, name, workspace, api_key, billing_key_id, state, max_concurrency, priority, weight, allowed_apps, remark,
        use_cnt, error_cnt, key_out_cause, key_out_since, key_out_until, key_probe_lease_id, key_strikes,
        key_returned_at, created_at, updated_at
    )
),
new_keys AS (
    INSERT INTO scrip_account_keys (
        account_id, purpose, key_id, kek_id, sealed, created_at, retired_at
    )
    SELECT
        n.account_id, n.purpose, n.key_id, n.kek_id, n.sealed, n.created_at, n.retired_at
    FROM unnest(
        $37::bigint[], $38::text[], $39::text[], $40::text[], $41::bytea[], $42::timestamptz[], $43::timestamptz[]
    ) AS n (
        account_id, purpose, key_id, kek_id, sealed, created_at, retired_at
    )
),
changed_keys AS (
    UPDATE scrip_account_keys AS k
    SET kek_id = n.kek_id, sealed = n.sealed, created_at = n.created_at, retired_at = n.retired_at
    FROM unnest(
        $44::bigint[], $45::text[], $46::text[], $47::text[], $48::bytea[], $49::timestamptz[], $50::timestamptz[]
    ) AS n (
        account_id, purpose, key_id, kek_id, sealed, created_at, retired_at
    )
    WHERE k.account_id = n.account_id AND k.purpose = n.purpose AND k.key_id = n.key_id
    RETURNING k.key_id
)
SELECT count(*) AS keys FROM changed_keys
