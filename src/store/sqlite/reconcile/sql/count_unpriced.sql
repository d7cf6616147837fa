-- How many events have no cost.
SELECT count(*) FROM temp.run_events AS e WHERE e.cost_nano_usd IS NULL
