-- What nearly every batch that touches keys writes: the batch id if the ledger's part did not, workspaces, accounts and
-- leases that changed, new leases, lines of the audit log in their order. A new lease of a task whose old one is closed
-- by the same batch comes in a second run: parts of one statement run in no fixed order, and a task has one open lease.
-- Answers how many rows were found, for a plan that misses one is a bug. Only an open lease changes; this is not asked
-- by IS NULL, or a plan made while few are open would read an index of all that ever are.
WITH batch AS (
    INSERT INTO scrip_commits (id)
    SELECT n.id FROM unnest($1::uuid[]) AS n (id)
),
changed_workspaces AS (
    UPDATE scrip_workspaces AS w
    SET
        out_cause = n.out_cause, out_since = n.out_since, out_until = n.out_until, probe_lease_id = n.probe_lease_id,
        strikes = n.strikes, returned_at = n.returned_at, error_permille = n.error_permille,
        latency_micros = n.latency_micros, reported_at = n.reported_at, streak = n.streak,
        streak_started_at = n.streak_started_at, last_failure = n.last_failure, last_failure_at = n.last_failure_at,
        last_success_at = n.last_success_at
    FROM unnest(
        $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::bigint[], $8::timestamptz[],
        $9::bigint[], $10::bigint[], $11::timestamptz[], $12::bigint[], $13::timestamptz[], $14::text[],
        $15::timestamptz[], $16::timestamptz[]
    ) AS n (
        workspace, out_cause, out_since, out_until, probe_lease_id, strikes, returned_at, error_permille,
        latency_micros, reported_at, streak, streak_started_at, last_failure, last_failure_at, last_success_at
    )
    WHERE w.workspace = n.workspace
    RETURNING w.workspace
),
changed_accounts AS (
    UPDATE ts_fal_account AS a
    SET
        status = CASE n.state WHEN 'enabled' THEN 1 ELSE 0 END,
        name = n.name, workspace = n.workspace, api_key = n.api_key, billing_key_id = n.billing_key_id,
        state = n.state, max_concurrency = n.max_concurrency, priority = n.priority, weight = n.weight,
        allowed_apps = n.allowed_apps, remark = n.remark, use_cnt = n.use_cnt, error_cnt = n.error_cnt,
        key_out_cause = n.key_out_cause, key_out_since = n.key_out_since, key_out_until = n.key_out_until,
        key_probe_lease_id = n.key_probe_lease_id, key_strikes = n.key_strikes, key_returned_at = n.key_returned_at,
        updated_at = n.updated_at
    FROM unnest(
        $17::bigint[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::bigint[], $24::integer[],
        $25::bigint[], $26::text[], $27::text[], $28::bigint[], $29::bigint[], $30::text[], $31::timestamptz[],
        $32::timestamptz[], $33::text[], $34::bigint[], $35::timestamptz[], $36::timestamptz[], $37::timestamptz[]
    ) AS n (
        id, name, workspace, api_key, billing_key_id, state, max_concurrency, priority, weight, allowed_apps, remark,
        use_cnt, error_cnt, key_out_cause, key_out_since, key_out_until, key_probe_lease_id, key_strikes,
        key_returned_at, created_at, updated_at
    )
    WHERE a.id = n.id
    RETURNING a.id
),
changed_leases AS (
    UPDATE scrip_leases AS l
    SET expires_at = n.expires_at, released_at = n.released_at, outcome = n.outcome
    FROM unnest(
        $38::text[], $39::timestamptz[], $40::timestamptz[], $41::text[]
    ) AS n (
        lease_id, expires_at, released_at, outcome
    )
    WHERE l.lease_id = n.lease_id AND coalesce(l.outcome, '') = ''
    RETURNING l.lease_id
),
new_leases AS (
    INSERT INTO scrip_leases (
        lease_id, account_id, key_id, runner_id, user_id, task_id, fence, acquired_at, expires_at, released_at,
        outcome, is_probe, is_retry, estimated_cost_nano_usd
    )
    SELECT
        n.lease_id, n.account_id, n.key_id, n.runner_id, n.user_id, n.task_id, n.fence, n.acquired_at, n.expires_at,
        n.released_at, n.outcome, n.is_probe, n.is_retry, n.estimated_cost_nano_usd
    FROM unnest(
        $42::text[], $43::bigint[], $44::text[], $45::text[], $46::bigint[], $47::text[], $48::bigint[],
        $49::timestamptz[], $50::timestamptz[], $51::timestamptz[], $52::text[], $53::boolean[], $54::boolean[],
        $55::bigint[]
    ) AS n (
        lease_id, account_id, key_id, runner_id, user_id, task_id, fence, acquired_at, expires_at, released_at,
        outcome, is_probe, is_retry, estimated_cost_nano_usd
    )
),
new_lines AS (
    INSERT INTO scrip_audit_log (
        at, actor, subject_kind, subject, account_id, reason, changes
    )
    SELECT
        n.at, n.actor, n.subject_kind, n.subject, n.account_id, n.reason, n.changes
    FROM unnest(
        $56::timestamptz[], $57::text[], $58::text[], $59::text[], $60::bigint[], $61::text[], $62::text[]
    ) WITH ORDINALITY AS n (
        at, actor, subject_kind, subject, account_id, reason, changes, number
    )
    ORDER BY n.number
)
SELECT
    (SELECT count(*) FROM changed_workspaces) AS workspaces,
    (SELECT count(*) FROM changed_accounts) AS accounts,
    (SELECT count(*) FROM changed_leases) AS leases
