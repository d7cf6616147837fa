-- Whether a writer's session could write here: a reader's forbids it to itself, so the setting that it overrides is asked.
SELECT
    NOT pg_is_in_recovery() AND EXISTS (
        SELECT FROM pg_settings WHERE name = 'default_transaction_read_only' AND reset_val = 'off'
    ) AS takes_writes
