-- What only some batches write: new users, tasks that changed, attempts. billed_cost_nano_usd is reconciliation's alone.
-- Answers how many tasks were found, for a plan that misses one is a bug.
WITH new_users AS (
    INSERT INTO ts_users (
        id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at, created_at,
        updated_at
    )
    SELECT
        n.id, n.points_balance, n.cash_balance, n.points_held, n.cash_held, n.entry_seq, n.chain_hash,
        n.last_entry_at, n.created_at, n.updated_at
    FROM unnest(
        $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[],
        $8::timestamptz[], $9::timestamptz[], $10::timestamptz[]
    ) AS n (
        id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at, created_at,
        updated_at
    )
),
changed_tasks AS (
    UPDATE ts_fal_tasks AS t
    SET
        online_task_id = n.online_task_id, api_key = n.api_key, status = n.status, money = n.money,
        completed_at = n.completed_at, charged_points = n.charged_points, charged_cash = n.charged_cash,
        refunded_points = n.refunded_points, refunded_cash = n.refunded_cash, held_points = n.held_points,
        held_cash = n.held_cash, hold_state = n.hold_state, hold_expires_at = n.hold_expires_at,
        reported_cost_nano_usd = n.reported_cost_nano_usd, billable_units = n.billable_units, lease_id = n.lease_id,
        error = n.error, settle_fingerprint = n.settle_fingerprint, charge_seq = n.charge_seq,
        refund_seq = n.refund_seq, refund_entries = n.refund_entries, settle_seq = n.settle_seq,
        settle_entries = n.settle_entries, output_params = coalesce(n.output_params, t.output_params)
    FROM unnest(
        $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::timestamptz[],
        $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::text[],
        $25::timestamptz[], $26::bigint[], $27::text[], $28::text[], $29::text[], $30::bytea[], $31::bigint[],
        $32::bigint[], $33::smallint[], $34::bigint[], $35::smallint[], $36::text[]
    ) AS n (
        user_id, task_id, online_task_id, api_key, status, money, completed_at, charged_points, charged_cash,
        refunded_points, refunded_cash, held_points, held_cash, hold_state, hold_expires_at, reported_cost_nano_usd,
        billable_units, lease_id, error, settle_fingerprint, charge_seq, refund_seq, refund_entries, settle_seq,
        settle_entries, output_params
    )
    WHERE t.task_id = n.task_id AND t.user_id = n.user_id
    RETURNING t.id
),
new_attempts AS (
    INSERT INTO scrip_task_attempts (
        user_id, task_id, attempt, online_task_id, key_id, started_at
    )
    SELECT
        n.user_id, n.task_id, n.attempt, n.online_task_id, n.key_id, n.started_at
    FROM unnest(
        $37::bigint[], $38::text[], $39::integer[], $40::text[], $41::text[], $42::timestamptz[]
    ) AS n (
        user_id, task_id, attempt, online_task_id, key_id, started_at
    )
)
SELECT count(*) AS tasks FROM changed_tasks
