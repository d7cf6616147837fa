-- A migration's session: it takes as long as it takes, and waits for another replica's to end.
SELECT
    set_config('statement_timeout', '0', false),
    set_config('lock_timeout', '0', false),
    set_config('idle_in_transaction_session_timeout', '0', false)
