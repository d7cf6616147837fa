-- What only some batches write: tasks that changed, attempts. Empty arrays and coalesce: as in writer_write.sql.
-- billed_cost_nano_usd is reconciliation's alone.
-- Answers how many tasks were found, for a plan that misses one is a bug.
WITH changed_tasks AS (
    UPDATE ts_fal_tasks AS t
    SET
        online_task_id = coalesce(n.online_task_id, ''), api_key = coalesce(n.api_key, ''), status = n.status,
        money = n.money, completed_at = n.completed_at, charged_points = coalesce(n.charged_points, 0),
        charged_cash = coalesce(n.charged_cash, 0), refunded_points = coalesce(n.refunded_points, 0),
        refunded_cash = coalesce(n.refunded_cash, 0), held_points = coalesce(n.held_points, 0),
        held_cash = coalesce(n.held_cash, 0), hold_state = n.hold_state, hold_expires_at = n.hold_expires_at,
        reported_cost_nano_usd = n.reported_cost_nano_usd, billable_units = n.billable_units, lease_id = n.lease_id,
        error = n.error, settle_fingerprint = n.settle_fingerprint, charge_seq = n.charge_seq,
        refund_seq = n.refund_seq, refund_entries = n.refund_entries, settle_seq = n.settle_seq,
        settle_entries = n.settle_entries, output_params = coalesce(n.output_params, t.output_params)
    FROM unnest(
        $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[],
        $15::timestamptz[], $16::bigint[], $17::text[], $18::text[], $19::text[], $20::bytea[], $21::bigint[],
        $22::bigint[], $23::smallint[], $24::bigint[], $25::smallint[], $26::text[]
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
        user_id, task_id, attempt, online_task_id, key_id, lease_id, started_at
    )
    SELECT
        n.user_id, n.task_id, n.attempt, n.online_task_id, n.key_id, n.lease_id, n.started_at
    FROM unnest(
        $27::bigint[], $28::text[], $29::integer[], $30::text[], $31::text[], $32::text[], $33::timestamptz[]
    ) AS n (
        user_id, task_id, attempt, online_task_id, key_id, lease_id, started_at
    )
)
SELECT count(*) AS tasks FROM changed_tasks
