-- Roughly how many rows verify will read: highest ids where rows are never deleted.
SELECT (SELECT count(*) FROM ts_users) + (SELECT count(*) FROM scrip_requests)
     + (SELECT coalesce(max(id), 0) FROM ts_fal_tasks)
     + (SELECT coalesce(max(id), 0) FROM ts_financial_transactions)
