-- Whether what this server acknowledges is stored, and whether it may be written at all.
SELECT
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('transaction_read_only') AS read_only,
    pg_is_in_recovery() AS standby
