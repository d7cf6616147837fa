-- Any session on a coordinator of Citus, after its own settings. It plans with the values at hand, or it could not know
-- which shards are meant; the coordinator's part is small intermediate results, which no index helps with. One connection
-- to each worker: then a snapshot shows all of a user as of one moment, and connections stay few.
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', false),
    set_config('enable_seqscan', 'on', false),
    set_config('enable_hashjoin', 'on', false),
    set_config('enable_mergejoin', 'on', false),
    set_config('citus.max_adaptive_executor_pool_size', '1', false)
