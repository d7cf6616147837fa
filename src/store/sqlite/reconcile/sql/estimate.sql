-- How many rows a run reads.
SELECT (SELECT count(*) FROM temp.run_events) + (SELECT count(*) FROM temp.run_period)
