-- A writer's session: durable, impatient, and with plans that do not depend on when they were made.
-- A statement is planned once (its generic plan) while the tables may still be empty, and must not read them whole
-- when they are full: every look-up has an index, so sequential scans and joins that need them are ruled out.
-- remote_apply waits for more than `on` does and is kept where the server is set to it.
SELECT
    set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
    set_config('statement_timeout', $1, false),
    set_config('lock_timeout', $2, false),
    set_config('idle_in_transaction_session_timeout', $3, false),
    set_config('TimeZone', 'UTC', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('jit', 'off', false)
