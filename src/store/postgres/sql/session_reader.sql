-- A reader's session: cannot write by mistake, and plans each statement for the filters it is given.
SELECT
    set_config('default_transaction_read_only', 'on', false),
    set_config('statement_timeout', $1, false),
    set_config('idle_in_transaction_session_timeout', $2, false),
    set_config('TimeZone', 'UTC', false),
    set_config('plan_cache_mode', 'force_custom_plan', false),
    set_config('jit', 'off', false)
