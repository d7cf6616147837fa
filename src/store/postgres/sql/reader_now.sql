-- The moment by the clock that judges batches.
SELECT clock_timestamp() AS now
