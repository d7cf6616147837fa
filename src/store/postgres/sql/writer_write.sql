-- What nearly every batch writes, in one statement: the batch id, users whose figures changed, new tasks, entries with
-- their points rows, and idempotency records. Each is as many rows as its longest array; an INSERT of no rows costs
-- next to nothing. Where all rows have what coalesce says, or NULL, the array comes empty and unnest fills it up: it keeps
-- the rows of each array apart, which costs more than what is in them.
-- Answers how many users were found, for a plan that misses one is a bug.
WITH batch AS (
    INSERT INTO scrip_commits (id)
    SELECT n.id FROM unnest($1::uuid[]) AS n (id)
),
changed_users AS (
    UPDATE ts_users AS u
    SET
        points_balance = n.points_balance, cash_balance = n.cash_balance,
        points_held = coalesce(n.points_held, 0), cash_held = coalesce(n.cash_held, 0), entry_seq = n.entry_seq,
        chain_hash = n.chain_hash, last_entry_at = n.last_entry_at, updated_at = n.updated_at
    FROM unnest(
        $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[],
        $9::timestamptz[], $10::timestamptz[]
    ) AS n (
        id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at, updated_at
    )
    WHERE u.id = n.id
    RETURNING u.id
),
new_tasks AS (
    INSERT INTO ts_fal_tasks (
        user_id, task_id, online_task_id, app_name, api_key, task_type, status, money, input_params, output_params,
        created_at, completed_at, charged_points, charged_cash, refunded_points, refunded_cash, held_points,
        held_cash, authorized_points, authorized_cash, hold_state, hold_expires_at, reported_cost_nano_usd,
        billable_units, lease_id, error, title, deployment_uuid, pay_type, fingerprint, settle_fingerprint,
        charge_seq, refund_seq, refund_entries, settle_seq, settle_entries
    )
    SELECT
        n.user_id, n.task_id, coalesce(n.online_task_id, ''), n.app_name, coalesce(n.api_key, ''),
        coalesce(n.task_type, ''), n.status, n.money, coalesce(n.input_params, ''), coalesce(n.output_params, ''),
        n.created_at, n.completed_at, coalesce(n.charged_points, 0), coalesce(n.charged_cash, 0),
        coalesce(n.refunded_points, 0), coalesce(n.refunded_cash, 0), coalesce(n.held_points, 0),
        coalesce(n.held_cash, 0), coalesce(n.authorized_points, 0), coalesce(n.authorized_cash, 0), n.hold_state,
        n.hold_expires_at, n.reported_cost_nano_usd, n.billable_units, n.lease_id, n.error, n.title,
        coalesce(n.deployment_uuid, ''), coalesce(n.pay_type, 0), n.fingerprint, n.settle_fingerprint, n.charge_seq,
        n.refund_seq, n.refund_entries, n.settle_seq, n.settle_entries
    FROM unnest(
        $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[],
        $19::text[], $20::text[], $21::timestamptz[], $22::timestamptz[], $23::bigint[], $24::bigint[], $25::bigint[],
        $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::text[], $32::timestamptz[],
        $33::bigint[], $34::text[], $35::text[], $36::text[], $37::text[], $38::text[], $39::integer[], $40::bytea[],
        $41::bytea[], $42::bigint[], $43::bigint[], $44::smallint[], $45::bigint[], $46::smallint[]
    ) AS n (
        user_id, task_id, online_task_id, app_name, api_key, task_type, status, money, input_params, output_params,
        created_at, completed_at, charged_points, charged_cash, refunded_points, refunded_cash, held_points,
        held_cash, authorized_points, authorized_cash, hold_state, hold_expires_at, reported_cost_nano_usd,
        billable_units, lease_id, error, title, deployment_uuid, pay_type, fingerprint, settle_fingerprint,
        charge_seq, refund_seq, refund_entries, settle_seq, settle_entries
    )
),
entries AS (
    SELECT
        n.user_id, n.user_seq, n.money, n.order_id, coalesce(n.title, '') AS title,
        coalesce(n.deployment_uuid, '') AS deployment_uuid, n."time", n.transaction_type,
        coalesce(n.pay_type, 0) AS pay_type, coalesce(n.is_cash, 0) AS is_cash, n.operation, n.source_type,
        n.balance_before, n.balance_after, n.request_id, n.actor, n.entry_hash
    FROM unnest(
        $47::bigint[], $48::bigint[], $49::bigint[], $50::text[], $51::text[], $52::text[], $53::timestamptz[],
        $54::integer[], $55::integer[], $56::integer[], $57::text[], $58::text[], $59::bigint[], $60::bigint[],
        $61::text[], $62::text[], $63::bytea[]
    ) AS n (
        user_id, user_seq, money, order_id, title, deployment_uuid, "time", transaction_type, pay_type, is_cash,
        operation, source_type, balance_before, balance_after, request_id, actor, entry_hash
    )
),
new_entries AS (
    INSERT INTO ts_financial_transactions (
        user_id, user_seq, money, order_id, title, deployment_uuid, "time", transaction_type, pay_type, is_cash,
        operation, source_type, balance_before, balance_after, request_id, actor, entry_hash
    )
    SELECT
        n.user_id, n.user_seq, n.money, n.order_id, n.title, n.deployment_uuid, n."time", n.transaction_type,
        n.pay_type, n.is_cash, n.operation, n.source_type, n.balance_before, n.balance_after, n.request_id, n.actor,
        n.entry_hash
    FROM entries AS n
),
new_points AS (
    INSERT INTO ts_points_detail (
        user_id, user_seq, points, order_id, title, source_type, balance_before, balance_after, created_at,
        request_id, actor
    )
    SELECT
        n.user_id, n.user_seq, n.money, n.order_id, n.title, n.source_type, n.balance_before, n.balance_after,
        n."time", n.request_id, n.actor
    FROM entries AS n
    WHERE n.is_cash = 0
),
new_requests AS (
    INSERT INTO scrip_requests (
        user_id, request_id, method, task_id, fingerprint, entry_seq, entry_count, late, refusal, lease_id,
        created_at
    )
    SELECT
        n.user_id, n.request_id, n.method, n.task_id, n.fingerprint, n.entry_seq, n.entry_count,
        coalesce(n.late, false), n.refusal, n.lease_id, n.created_at
    FROM unnest(
        $64::bigint[], $65::text[], $66::text[], $67::text[], $68::bytea[], $69::bigint[], $70::smallint[],
        $71::boolean[], $72::text[], $73::text[], $74::timestamptz[]
    ) AS n (
        user_id, request_id, method, task_id, fingerprint, entry_seq, entry_count, late, refusal, lease_id,
        created_at
    )
)
SELECT count(*) AS users FROM changed_users
